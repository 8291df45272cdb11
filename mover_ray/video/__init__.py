"""Untrusted videos: which frames to look at, and their pixels from a sandboxed process."""
