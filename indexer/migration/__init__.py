"""Migrates an index to another embedding model while it stays in use."""
