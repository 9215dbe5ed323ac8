"""The service: parameters, requests, job status, errors, the wire format, transport and the rate limiter.

Knows nothing of disks or notebooks, and imports none of the other packages.
"""
