"""Image files: validated, saved atomically, decoded, thumbnailed, with metadata inside; and source images to send.

Never imports SQL or HTTP; of the other packages only `api`.
"""
