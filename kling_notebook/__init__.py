"""Kling Image V3 in Jupyter: a ``%%kling`` cell magic and a widget panel over one careful client."""

from __future__ import annotations

__version__ = "0.1.0"
