"""What the user holds: handles, results, sweep results, DataFrames, exports, and the code that makes them again.

Sends nothing and writes no journal; imports `journal`, `image_files`, `api` and `view`.
"""
