"""The public client of the HTTP service: ``from footage.client import Client``."""

from footage.query.client.base_client import FootageError
from footage.query.client.client import Client, Event

__all__ = ["Client", "Event", "FootageError"]
