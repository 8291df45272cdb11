"""The Ray Serve application: online scoring over the same stages as the batch path."""
