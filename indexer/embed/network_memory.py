"""Gives back what compiled networks keep between runs: OpenVINO keeps as much as their largest batch took."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")

_networks: WeakSet[Any] = WeakSet()


def tracked(network: T) -> T:
    """Return a compiled network, and remember it for as long as it is used."""
    _networks.add(network)
    return network


def release() -> None:
    """Give back what the networks keep. Any thread may call it; one that is running keeps it until the next time.

    The next run takes again what it needs itself: after hours in which the machine kept up, not what it took when it
    was behind.
    """
    for network in list(_networks):
        with suppress(RuntimeError, AttributeError):  # it is running; a version before 2025.0 cannot do it
            network.release_memory()
