"""The detectors, in torch alone; no I/O beside `bundle`."""
