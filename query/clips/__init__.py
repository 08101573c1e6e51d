"""Loads frames and cuts clips from footage, and verifies clips."""
