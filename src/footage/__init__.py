"""Search camera footage in words. Programs start at ``footage.client``; docs/architecture.md shows the rooms."""
