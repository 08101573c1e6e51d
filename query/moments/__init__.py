"""Turns scores into moments: segments, boundary refinement, duplicates, full scans and sequences."""
