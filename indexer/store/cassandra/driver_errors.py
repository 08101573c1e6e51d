"""Tells what cassandra-driver's errors mean: whether a node answered, whether to try again, and what to do."""

from __future__ import annotations

import re

from cassandra import (
    AuthenticationFailed,
    DependencyException,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    ReadFailure,
    Timeout,
    Unauthorized,
    Unavailable,
    WriteFailure,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException, ProtocolError
from cassandra.protocol import ErrorMessage, OverloadedErrorMessage

from footage.indexer.store.errors import StoreBlocked, StoreError, StoreUnreachable

DRIVER_ERRORS = (
    DriverException,
    DependencyException,
    ErrorMessage,
    NoHostAvailable,
    ConnectionException,
    ConnectionBusy,
    ProtocolError,
    OSError,
)
"""Every error that is the driver's, the server's or the network's; any other one is a fault of the program."""

TRANSIENT_ERRORS = (
    Timeout,
    Unavailable,
    OperationTimedOut,
    NoHostAvailable,
    ConnectionException,
    ConnectionBusy,
    ReadFailure,
)
"""Errors after which the same statement may succeed. A failed write (1500) is not one: it may be half applied."""

SLOW_ERRORS = (Timeout, OperationTimedOut, ConnectionBusy)
"""Errors of a cluster that is there and slow."""

UNCERTAIN_ERRORS = tuple(kind for kind in TRANSIENT_ERRORS if kind is not NoHostAvailable)
"""Errors of a conditional statement that may have been applied all the same."""


def is_overloaded(error: Exception) -> bool:
    """Whether a node refused the request because it has too much to do (0x1001)."""
    return any(isinstance(cause, OverloadedErrorMessage) for cause in _causes(error))


def has_answered(error: Exception) -> bool | None:
    """Whether a node answered, with an error of its own; False if none could be asked, None if that is not known."""
    if isinstance(error, (OperationTimedOut, ConnectionBusy)):
        return None
    if isinstance(error, (NoHostAvailable, ConnectionException, OSError)):
        return any(isinstance(cause, (ErrorMessage, DriverException)) for cause in _causes(error))
    return True if isinstance(error, DRIVER_ERRORS) else None


def translate_error(error: Exception, location: str) -> StoreError:
    """Return one of ``DRIVER_ERRORS`` as a StoreError that says what to do."""
    first_line = _first_line(error)
    if isinstance(error, NoHostAvailable):
        return _translate_no_host(error, location)
    if "metadata service" in str(error) and isinstance(error, DriverException):
        return StoreUnreachable(
            f"{location}: Astra's metadata service does not answer; is the database awake (see the console), the "
            "bundle the newest download, and the network open?"
        )
    if isinstance(error, Unavailable):
        return StoreUnreachable(f"{location}: too few copies are reachable to read or write safely; are its nodes up?")
    if isinstance(error, ReadFailure):
        return StoreUnreachable(
            f"{location}: a read failed on the server, which happens while an index is being built; try again later "
            f"({first_line})"
        )
    if isinstance(error, (ConnectionException, OSError)):
        return StoreUnreachable(f"{location}: no node answers ({first_line}); is it down, or cut off from the network?")
    if isinstance(error, TRANSIENT_ERRORS):
        return StoreUnreachable(f"{location}: it does not answer in time ({first_line}); is it overloaded or down?")
    if isinstance(error, WriteFailure):
        return StoreError(
            f"{location}: a write failed on the server, see its log; concurrent vector inserts fail without trie "
            f"memtables (CASSANDRA-21644): run `footage store check`. {first_line}"
        )
    if isinstance(error, (AuthenticationFailed, Unauthorized)):
        return StoreBlocked(f"{location}: it refuses this user and password (or token), or does not let it do this")
    if isinstance(error, InvalidRequest) and re.search("unconfigured table|does not exist", str(error), re.I):
        return StoreBlocked(f"{location}: {first_line}; run `footage store init`")
    return StoreError(f"{location}: {first_line}")


def _translate_no_host(error: NoHostAvailable, location: str) -> StoreError:
    if is_overloaded(error):
        said = next(str(cause.message) for cause in _causes(error) if isinstance(cause, OverloadedErrorMessage))
        return StoreUnreachable(f"{location}: it is overloaded ({said[:200]}); send less or add capacity")
    for cause in _causes(error):
        if isinstance(cause, (ErrorMessage, DriverException)) and not isinstance(cause, TRANSIENT_ERRORS):
            return translate_error(cause, location)
    return StoreUnreachable(f"{location}: no node answers; is it running, and are address and port right?")


def _causes(error: Exception) -> list[Exception]:
    """Return what each node said, or the error itself."""
    if not isinstance(error, NoHostAvailable):
        return [] if isinstance(error, (ConnectionException, OSError)) else [error]
    return list(error.errors.values()) if isinstance(error.errors, dict) else list(error.errors)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
