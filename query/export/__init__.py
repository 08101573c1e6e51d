"""Exports moments as a zip of clips, pictures, checksums and a page."""
