"""Values in; HTML, text, JPEG and figures out.

No HTTP, no disk, no IPython; imports no other package of ours.
"""
