"""Indexes footage: embeds timed frames and stores the vectors as records. Imports ``stream``."""
