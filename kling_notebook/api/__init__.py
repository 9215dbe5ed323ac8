"""The service: what it says and how to talk to it. No disk, no notebook."""
