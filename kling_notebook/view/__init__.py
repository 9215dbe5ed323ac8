"""Values in; text, HTML and figures out. No HTTP, no disk, no IPython."""
