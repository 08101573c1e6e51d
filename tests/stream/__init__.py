"""What a source gives."""
