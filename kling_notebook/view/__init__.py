"""Values in; HTML, text, JPEG and figures out.

No HTTP, no disk, no IPython; imports none of the other packages.
"""
