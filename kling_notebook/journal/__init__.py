"""What a folder remembers: its layout, the SQLite journal, records, locks and recovery.

The only home of sqlite3 and filelock; imports `image_files` and `api`, and knows nothing of running jobs.
"""
