"""The life of a job: advance, polling and saving, worker threads, spending, reuse and resume.

The only package that buys. Shows nothing; imports `results` and what is below it.
"""
