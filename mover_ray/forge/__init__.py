"""Pseudo-fakes with exact masks, made from real videos: one file a manipulation."""
