"""Image files: validated, saved atomically, decoded, thumbnailed, with metadata inside; and source images to send.

Never imports SQL or HTTP; of ours only `api`.
"""
