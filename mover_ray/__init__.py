"""mover-ray: finds manipulated faces in video archives on a Ray cluster."""

__version__ = "0.1.0"
