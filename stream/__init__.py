"""Turns sources (files, photographs, live cameras) into timed frames. Imports nothing else of this project."""
