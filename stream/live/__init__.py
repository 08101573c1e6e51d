"""Reads live cameras: reconnecting, repairing time stamps, timing in UTC, and sampling frames."""
