"""Reads video files and photographs: probing, start times, and decoding of sampled or single frames."""
