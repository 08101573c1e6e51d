"""Indexes live cameras: runs readers and recorders, writes records and coverage, recovers, and deletes old footage."""
