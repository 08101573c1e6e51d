"""Opens what asks the other services of a cluster for footage, and announces this one to them."""

from __future__ import annotations

import hashlib
import platform
import re
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from footage.commands.errors import UsageError
from footage.config.settings import Settings
from footage.indexer.store.base import Catalog

if TYPE_CHECKING:
    from footage.query.peers.peers import Peers

WILDCARDS = ("0.0.0.0", "::", "")  # compared with, not bound  # nosec B104
"""Hosts that mean every address of this machine."""


@asynccontextmanager
async def open_peers(settings: Settings, catalog: Catalog, name: str = "") -> AsyncIterator[Peers | None]:
    """What asks the other services of the cluster for footage, open while the block runs; None where there is none.

    Args:
        name: of this service; empty for a command, which is announced only while it asks.

    Raises:
        UsageError: the package that signs requests is missing.
    """
    if settings.store == "embedded":
        yield None
        return
    from footage.indexer.cluster.directory import ServiceDirectory
    from footage.query.peers.peers import Peers
    from footage.query.peers.signature import ServiceKey

    try:
        key = ServiceKey()
    except ModuleNotFoundError:
        raise UsageError(
            "services of a cluster sign what they ask of each other, which needs the package cryptography; install it "
            "with: pip install 'footage[cassandra]'"
        ) from None
    name = name or f"command~{secrets.token_hex(8)}"
    peers = Peers(ServiceDirectory(catalog, name, platform.node(), key.public), key)
    try:
        yield peers
    finally:
        await peers.close()
        await peers.directory.leave()


def service_name(settings: Settings) -> str:
    """The name of ``footage serve`` in the cluster: the worker's, or one of this machine and data folder."""
    if settings.worker:
        return settings.worker
    machine = re.sub(r"[^\w.-]", "-", platform.node())[:48] or "service"
    return f"{machine}-{hashlib.sha256(str(settings.data.resolve()).encode()).hexdigest()[:8]}"


def advertised_address(settings: Settings, port: int) -> str:
    """The address at which other services reach this one.

    Args:
        port: the one that it listens on.
    """
    if settings.advertise:
        return settings.advertise
    host = socket.gethostname() if settings.host in WILDCARDS else settings.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
