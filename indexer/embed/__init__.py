"""Embeds images and texts as unit vectors of one space, with CLIP or the built-in lite networks."""
