"""The HTTP service on aiohttp: routes, tokens, the audit log, metrics and the OpenAPI document."""
