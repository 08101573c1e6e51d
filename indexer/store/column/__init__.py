"""Keeps a derived, disposable copy of a table's records beside it, laid out for exact scans: the scan column."""
