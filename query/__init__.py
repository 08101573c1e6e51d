"""Answers questions about indexed footage with moments. Imports ``stream`` and ``indexer``."""
