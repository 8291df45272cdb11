"""The command `mover-ray`. Each file is one command group; none holds logic."""

from .app import app, main

__all__ = ["app", "main"]
