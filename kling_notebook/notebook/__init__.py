"""The only home of IPython and ipywidgets: magics, displays in a cell, and the widget panel.

Buys nothing by itself: every request goes through the session.
"""
