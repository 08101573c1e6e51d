"""Settings: flag, then environment, then YAML, then default."""
