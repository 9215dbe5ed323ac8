"""`Session`, a thin facade over jobs, results and journal; the current session of this process; status and check.

Decides neither how results are shown nor how a cell waits; imports `jobs`, what is below it, and `settings`.
"""
