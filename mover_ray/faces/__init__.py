"""Faces: detection, landmarks, tracks, alignment and parts."""
