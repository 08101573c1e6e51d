"""The public client of the HTTP service: ``from footage.client import Client``."""

from footage.query.client.client import Client, Event
from footage.query.client.link import FootageError

__all__ = ["Client", "Event", "FootageError"]
