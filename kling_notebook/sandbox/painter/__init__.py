"""Paints pictures from prompts."""
