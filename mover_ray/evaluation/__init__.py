"""Metrics, protocols and calibration; numpy and scikit-learn, no torch."""
