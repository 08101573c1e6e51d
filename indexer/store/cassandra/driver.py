"""Configures cassandra-driver, and quiets its loggers. Importing this module imports the driver."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, ResponseFuture
from cassandra.cqltypes import BytesType, VectorType
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import ProtocolHandler, ResultMessage
from cassandra.query import BatchStatement, BatchType, PreparedStatement, SimpleStatement, tuple_factory

from footage.indexer.store.cassandra.driver_errors import (
    DRIVER_ERRORS,
    SLOW_ERRORS,
    TRANSIENT_ERRORS,
    UNCERTAIN_ERRORS,
    has_answered,
    is_overloaded,
    translate_error,
)
from footage.indexer.store.errors import StoreError

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 10.0  # seconds that a request may take before it is tried again
SPECULATIVE_DELAY = 0.5  # seconds after which a read is sent to another replica too
RECONNECT_DELAY = 2.0  # seconds between attempts to reach a node that is down
CONNECT_TIMEOUT = 5.0  # seconds to wait for a connection
PING_TIMEOUT = 1.8  # seconds within which a cluster that is there tells so
PING_DELAY = 0.3  # seconds after which another node is pinged too
PING = "SELECT key FROM system.local WHERE key = 'local'"


class _DebugHandler(logging.Handler):
    """Passes on what a library logs as messages of this module at the level debug."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it again, with its traceback."""
        log.debug("%s: %s", record.name, record.getMessage(), exc_info=record.exc_info)


def quiet_driver() -> None:
    """Keep the driver's messages for debugging: an outage of a minute makes 200 lines and a dozen tracebacks."""
    driver = logging.getLogger("cassandra")
    driver.propagate = False
    driver.handlers[:] = [_DebugHandler()]


quiet_driver()


def make_cluster(
    points: tuple[str, ...], port: int, credentials: tuple[str, str], datacenter: str, tls: bool, ca: Path | None
) -> Cluster:
    """Return a cluster with contact points, not connected yet."""
    return Cluster(
        list(points),
        port,
        protocol_version=5,
        ssl_context=ssl.create_default_context(cafile=ca) if tls else None,
        **_common(credentials, datacenter),
    )


def make_astra_cluster(bundle: Path, credentials: tuple[str, str]) -> Cluster:
    """Return an Astra database by its secure connect bundle, not connected yet."""
    cloud = {"secure_connect_bundle": str(bundle), "use_default_tempdir": True, "connect_timeout": CONNECT_TIMEOUT}
    # Version 4 is what Astra speaks; without it three connections are refused first, each with a warning.
    try:
        return Cluster(cloud=cloud, protocol_version=4, **_common(credentials, ""))
    except (BadZipFile, KeyError, ValueError) as error:
        raise StoreError(f"{bundle}: this is no secure connect bundle; download it from Astra's console") from error


def _common(credentials: tuple[str, str], datacenter: str) -> dict[str, Any]:
    return {
        "auth_provider": PlainTextAuthProvider(*credentials) if any(credentials) else None,
        "execution_profiles": _profiles(datacenter),
        "connect_timeout": CONNECT_TIMEOUT,
        "control_connection_timeout": REQUEST_TIMEOUT,  # two seconds are too few for the schema of a busy cluster
        "prepare_on_all_hosts": False,  # else preparing waits ten seconds for a node that is frozen
        # The driver's default pauses grow to ten minutes, but a node that is back should be used at once.
        "reconnection_policy": ConstantReconnectionPolicy(RECONNECT_DELAY, max_attempts=None),
        "idle_heartbeat_interval": 5,
        "idle_heartbeat_timeout": 5,
        # Without this the kernel delays small requests: 60 ms a search instead of 3.
        "sockopts": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    }


def _profiles(datacenter: str) -> dict[Any, ExecutionProfile]:
    quorum, one, serial = ConsistencyLevel.LOCAL_QUORUM, ConsistencyLevel.LOCAL_ONE, ConsistencyLevel.LOCAL_SERIAL
    speculative = ConstantSpeculativeExecutionPolicy(SPECULATIVE_DELAY, 2)
    any_node = ConstantSpeculativeExecutionPolicy(PING_DELAY, 4)

    def profile(level: int, timeout: float = REQUEST_TIMEOUT, **more: Any) -> ExecutionProfile:
        return ExecutionProfile(
            TokenAwarePolicy(DCAwareRoundRobinPolicy(datacenter)),
            consistency_level=level,
            serial_consistency_level=serial,
            request_timeout=timeout,
            row_factory=tuple_factory,
            **more,
        )

    return {
        EXEC_PROFILE_DEFAULT: profile(quorum),
        "write": profile(quorum),
        "read": profile(quorum, speculative_execution_policy=speculative),
        # Cassandra 5.0.9 lowers more than ONE for ANN, with a warning. When a release does not, this may be a "read".
        "near": profile(one, speculative_execution_policy=speculative),
        "serial": profile(serial),
        "ping": profile(one, PING_TIMEOUT, speculative_execution_policy=any_node),
    }


def vectors_as_bytes(statement: PreparedStatement) -> PreparedStatement:
    """Make the statement take vectors as big-endian float32 bytes.

    These are the bytes that the driver would send for a list of 512, in 0.6 microseconds instead of 44.
    """
    if statement.column_metadata:
        statement.column_metadata = [c._replace(type=_bytes_type(c.type)) for c in statement.column_metadata]
    return statement


class _Results(ProtocolHandler.message_types_by_opcode[ResultMessage.opcode]):  # type: ignore[misc]
    """Rows whose vectors stay bytes: a list takes 105 microseconds. The underscore keeps it out of a registry."""

    column_metadata: Any

    def recv_results_metadata(self, *given: Any) -> None:
        super().recv_results_metadata(*given)
        self.column_metadata = [(*column[:3], _bytes_type(column[3])) for column in self.column_metadata or ()]


class VectorsAsBytes(ProtocolHandler):  # type: ignore[misc]
    """A protocol handler that leaves vectors as bytes, for a session's ``client_protocol_handler``."""

    message_types_by_opcode: ClassVar[dict[int, Any]] = {
        **ProtocolHandler.message_types_by_opcode,
        ResultMessage.opcode: _Results,
    }


def _bytes_type(kind: Any) -> Any:
    return BytesType if isinstance(kind, type) and issubclass(kind, VectorType) else kind


def connect_cluster(cluster: Cluster) -> Any:
    """Connect, and return the driver's session, whose vectors are bytes. Blocks."""
    session = cluster.connect()
    session.client_protocol_handler = VectorsAsBytes
    return session


def make_batch(statements: list[tuple[PreparedStatement, tuple[Any, ...]]], *, idempotent: bool) -> BatchStatement:
    """Return an unlogged batch of statements of one partition, which is applied as one."""
    batch = BatchStatement(BatchType.UNLOGGED)
    for statement, values in statements:
        batch.add(statement, values)
    batch.is_idempotent = idempotent
    return batch


def to_asyncio_future(response: ResponseFuture, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
    """Return an asyncio future of the driver's response, whose callbacks run on the driver's thread.

    A response that comes after the future was cancelled or the loop closed is dropped.
    """
    future: asyncio.Future[Any] = loop.create_future()

    def set_unless_done(set_: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            set_(value)

    def forward(value: Any, set_: Callable[[Any], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(set_unless_done, set_, value)

    response.add_callbacks(forward, forward, callback_args=(future.set_result,), errback_args=(future.set_exception,))
    return future


async def fetch_all(
    response: ResponseFuture,
    loop: asyncio.AbstractEventLoop,
    wait: Callable[[asyncio.Future[Any]], Awaitable[Any]],
) -> list[Any]:
    """Return the rows of every page. A page may be short, or empty, and not be the last: only the server tells.

    Args:
        wait: waits for the future of one page.
    """
    rows: list[Any] = list(await wait(to_asyncio_future(response, loop)) or [])
    while response.has_more_pages:
        response.start_fetching_next_page()
        rows += await wait(to_asyncio_future(response, loop)) or []
    return rows


async def ping(session: Any, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether any node answers within two seconds, be it with an error."""
    try:
        statement = SimpleStatement(PING, is_idempotent=True)
        await to_asyncio_future(session.execute_async(statement, execution_profile="ping"), loop)
    except DRIVER_ERRORS as error:
        return bool(has_answered(error))
    return True


__all__ = [
    "DRIVER_ERRORS",
    "SLOW_ERRORS",
    "TRANSIENT_ERRORS",
    "UNCERTAIN_ERRORS",
    "Cluster",
    "connect_cluster",
    "fetch_all",
    "has_answered",
    "is_overloaded",
    "make_astra_cluster",
    "make_batch",
    "make_cluster",
    "ping",
    "to_asyncio_future",
    "translate_error",
    "vectors_as_bytes",
]
