"""Pictures and words to unit vectors of one space."""
