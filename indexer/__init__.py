"""Timed frames in, stored records out. Imports ``stream``."""
