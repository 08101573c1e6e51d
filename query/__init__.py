"""A question in, moments out."""
