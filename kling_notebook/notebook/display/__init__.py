"""What a cell shows while it waits: progress, waiting, and running something in a cell.

The only place that waits in a cell; knows nothing of magics or widgets.
"""
