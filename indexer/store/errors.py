"""Defines the errors of stores and catalogs: which pass by themselves, and what clients are told of them."""

from __future__ import annotations

from footage.stream.errors import AWAY, MODEL, FootageError


class StoreError(FootageError):
    """Raised when the store cannot do what was asked; the message says what failed and why."""

    public = "the index cannot do this; an administrator can see why"


class StoreUnreachable(StoreError):
    """Raised when the store cannot be reached now (exit code 5, HTTP 503)."""

    exit_code, http_status, hint = AWAY, 503, "try again later; /readyz tells when it is back"
    public = "the index cannot be reached"


class StoreBlocked(StoreError):
    """Raised when a person must act first (disk full, not permitted, no tables); the same request succeeds then."""


class StoreFull(StoreBlocked):
    """Raised when the disk has no room for what was to be written; it may have again later."""


PASSING = (StoreUnreachable, StoreBlocked)
"""Errors that are not about what was asked: it is tried again, by itself or once a person has acted, and nothing is
given up."""


class StoreDamaged(StoreError):
    """Raised when what is stored cannot be read back; the message says what repairs it."""

    public = "the index is damaged; an administrator can see how to repair it"


class SpaceMismatch(StoreError):
    """Raised when the index was made with another model (exit code 4); the message names both."""

    exit_code = MODEL
    public = ""
