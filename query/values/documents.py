"""Reads the catalog's documents one by one, so that one that cannot be read takes no other along."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


def parse_documents(
    kind: str, documents: Mapping[str, Mapping[str, Any]], parse: Callable[[Mapping[str, Any]], T]
) -> dict[str, T]:
    """Return what ``parse`` makes of each document, by name; those that it refuses are logged once and left out.

    Args:
        kind: what they are, for the log: ``watch``, ``token``.
        parse: raises ValueError (pydantic's ValidationError is one), KeyError or TypeError.
    """
    found = {}
    for name, document in documents.items():
        try:
            found[name] = parse(document)
        except (ValueError, KeyError, TypeError) as error:
            _log_once(kind, name, type(error).__name__)
    return found


@lru_cache(maxsize=1024)
def _log_once(kind: str, name: str, error: str) -> None:
    """The text of the error is left out: it may quote what is secret."""
    log.error("the %s '%s' in the catalog cannot be read (%s); remove it and add it again", kind, name, error)
