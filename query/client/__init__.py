"""Python client of the HTTP service; its public name is ``footage.client``."""

from footage.query.client.base_client import FootageError
from footage.query.client.client import Client, Event

__all__ = ["Client", "Event", "FootageError"]
