"""Records live streams as segment files without re-encoding, and lists, repairs and deletes those files."""
