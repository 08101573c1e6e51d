"""Detects motion between frames, and decides which frames are worth embedding."""
