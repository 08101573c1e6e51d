"""The service from a program; its public name is ``footage.client``."""

from footage.query.client.client import Client, Event
from footage.query.client.link import FootageError

__all__ = ["Client", "Event", "FootageError"]
