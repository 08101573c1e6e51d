"""Gets pictures and clips of footage that another service of the cluster holds."""
