"""Loads the settings: from a flag, else the environment, else YAML, else the default."""
