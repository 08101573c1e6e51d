"""A source in, timed frames out. Imports nothing else of this project."""
