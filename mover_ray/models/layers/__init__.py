"""Layers that more than one detector is built from."""
