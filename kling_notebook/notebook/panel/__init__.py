"""The widget panel.

Starts requests through the session and never waits in a callback.
"""
