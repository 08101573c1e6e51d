"""Indexes video and image files, and watches folders for new ones."""
