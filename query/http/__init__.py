"""Serves the index over HTTP with aiohttp: routes, tokens, audit log, metrics and OpenAPI document."""
