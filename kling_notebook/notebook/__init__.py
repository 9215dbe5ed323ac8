"""The notebook doors: the magic, the panel, and what they need to show and to wait."""
