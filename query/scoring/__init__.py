"""Scores records against a question: terms are parsed and embedded, and cosines become probabilities of a match."""
