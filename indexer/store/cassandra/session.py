"""Connects to a cluster and runs statements from asyncio; store and catalog share the session."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import stamina

from footage.indexer.store.cassandra.breaker import CircuitBreaker
from footage.indexer.store.errors import StoreError

T = TypeVar("T")
Row = tuple[Any, ...]
Statement = tuple[str, Row]
"""CQL with a ``?`` for every value and an ``@`` before each table of the keyspace, and the values."""

MAX_IN_FLIGHT = 16  # requests: more do not write faster (see docs/decisions/0007)
URGENT_IN_FLIGHT = 8  # more, for what is short and must not queue behind a search: leases, readiness
MAX_ATTEMPTS = 6  # per idempotent statement, with growing pauses, if the cluster is there and slow
RETRY_SECONDS = 1.5  # after which a statement that failed at once, twice or more, is not tried again
BUSY_PAUSE = 0.5  # seconds, doubled after each attempt of which a node says that it has too much to do, or is too slow
OVERLOAD_ATTEMPTS = 4  # per statement, if a node refuses it as overloaded
PAGE_ROWS = 5_000  # rows
KEYS_PER_QUERY = 20  # values in an IN: Astra refuses more of a partition key, and more than 25 of others
KEYSPACE_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


class CassandraSession:
    """Runs statements in one keyspace.

    The driver's own threads send and receive; responses reach the event loop through ``to_asyncio_future``. Connecting
    and preparing, which block, run on a worker thread. At most ``in_flight`` requests run at once; the others wait,
    except for a few that are urgent. While the cluster is away a circuit breaker refuses everything at once.
    Whoever called ``connect_cassandra`` closes the session, after the store and the catalog.

    Attributes:
        location: where it is connected to, for messages; never holds credentials.
        keyspace: name of the keyspace.
        astra: whether it is an Astra database, which takes no table options and creates no keyspaces by CQL.
    """

    def __init__(
        self, driver: ModuleType, cluster: Any, keyspace: str, location: str, astra: bool, in_flight: int
    ) -> None:
        """Use ``connect_cassandra`` instead."""
        self.location = location
        self.keyspace = keyspace
        self.astra = astra
        self._driver = driver
        self._cluster = cluster
        self._session: Any = None
        self._prepared: dict[str, asyncio.Future[Any]] = {}
        self._slots, self._urgent_slots = asyncio.Semaphore(in_flight), asyncio.Semaphore(URGENT_IN_FLIGHT)
        self._breaker = CircuitBreaker(location, self._ping)

    async def open(self) -> None:
        """Connect."""
        try:
            with self._translated():
                self._session = await asyncio.to_thread(self._driver.connect_cluster, self._cluster)
        except BaseException:
            await asyncio.to_thread(self._cluster.shutdown)
            raise

    async def execute_ddl(self, cql: str) -> None:
        """Change the schema."""
        with self._translated():
            await asyncio.to_thread(self._session.execute, self._with_keyspace(cql), timeout=120)

    async def select(self, cql: str, *values: Any, profile: str = "read", urgent: bool = False) -> list[Row]:
        """Return all rows of a SELECT, on however many pages.

        Args:
            cql: the statement.
            values: one for each ``?``.
            profile: one of the driver module's profiles.
            urgent: whether it must not queue behind other requests; always so for the profile ``serial``.
        """
        slots = self._urgent_slots if urgent or profile == "serial" else self._slots

        async def run() -> list[Row]:
            return await self._execute(await self._bind(cql, values), profile, slots)

        return await self._retry(run)

    async def select_pages(
        self, select: str, where: str, fixed: Row, key: str, first: Row, last: Row | None = None, page: int = PAGE_ROWS
    ) -> AsyncIterator[list[Row]]:
        """Yield the rows of one partition between two clustering keys in pages, by key rather than by server state.

        Args:
            select: columns and table; the columns start with those of the key.
            where: the partition.
            fixed: a value for each ``?`` of ``select`` and ``where``.
            key: clustering columns, such as ``time, region``.
            first: the lowest key, included.
            last: the end, not included; None for the end of the partition.
            page: rows per page.
        """
        marks = ", ".join("?" * len(first))
        end = f"AND ({key}) < ({marks}) " if last else ""
        sign, bound = ">=", first
        while True:
            cql = f"SELECT {select} WHERE {where} AND ({key}) {sign} ({marks}) {end}LIMIT ?"
            rows = await self.select(cql, *fixed, *bound, *(last or ()), page)
            if rows:
                yield rows
            if len(rows) < page:
                return
            sign, bound = ">", rows[-1][: len(first)]

    async def write(self, cql: str, *values: Any, urgent: bool = False) -> None:
        """Execute an INSERT, UPDATE or DELETE that may be repeated; ``urgent`` as for ``select``."""
        slots = self._urgent_slots if urgent else self._slots

        async def run() -> None:
            await self._execute(await self._bind(cql, values), "write", slots)

        await self._retry(run)

    async def write_once(self, cql: str, *values: Any) -> None:
        """Execute a statement that must not be repeated, such as a change of a counter."""
        bound = await self._retry(lambda: self._bind(cql, values))
        bound.is_idempotent = False
        with self._translated():
            await self._execute(bound, "write", self._slots)

    async def write_batch(self, statements: Iterable[Statement]) -> None:
        """Execute statements of one partition, which may be repeated, as one."""
        together = list(statements)

        async def run() -> None:
            await self._execute(await self._make_batch(together, idempotent=True), "write", self._slots)

        await self._retry(run)

    async def execute_if(self, *statements: Statement) -> bool:
        """Execute conditional statements of one partition, as one or not at all.

        Returns:
            Whether they were certainly applied. After False the state must be read again, with ``profile="serial"``.
        """

        async def prepare() -> Any:
            if len(statements) > 1:
                return await self._make_batch(statements, idempotent=False)
            bound = await self._bind(*statements[0])
            bound.is_idempotent = False
            return bound

        bound = await self._retry(prepare)
        with self._translated():
            try:
                return bool((await self._execute(bound, "write", self._urgent_slots))[0][0])
            except self._driver.UNCERTAIN_ERRORS:
                await asyncio.sleep(0.1)  # it may have been applied, and two at once hinder each other
                return False
            except self._driver.DRIVER_ERRORS as error:
                if not self._driver.is_overloaded(error):
                    raise
                await asyncio.sleep(BUSY_PAUSE * random.uniform(1.0, 1.5))  # the read that follows tells if it lasts
                return False

    async def close(self) -> None:
        """Disconnect. Calling it twice does no harm."""
        await self._breaker.close()
        await asyncio.to_thread(self._cluster.shutdown)

    async def _make_batch(self, statements: Iterable[Statement], *, idempotent: bool) -> Any:
        bound = [(await self._prepare(cql), values) for cql, values in statements]
        return self._driver.make_batch(bound, idempotent=idempotent)

    async def _bind(self, cql: str, values: Row) -> Any:
        bound = (await self._prepare(cql)).bind(values)
        bound.is_idempotent = True
        return bound

    async def _prepare(self, cql: str) -> Any:
        """Return the prepared statement; callers share one that is being prepared."""
        self._breaker.check()
        if cql not in self._prepared:
            self._prepared[cql] = asyncio.ensure_future(asyncio.to_thread(self._prepare_now, cql))
        preparing = self._prepared[cql]
        try:
            return preparing.result() if preparing.done() else await self._breaker.watch(asyncio.shield(preparing))
        except Exception as error:
            self._prepared.pop(cql, None)
            self._note(error)
            raise

    def _prepare_now(self, cql: str) -> Any:
        return self._driver.vectors_as_bytes(self._session.prepare(self._with_keyspace(cql)))

    def _with_keyspace(self, cql: str) -> str:
        return cql.replace("@", f"{self.keyspace}.")

    async def _retry(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run what may be repeated, and repeat it after transient errors, with growing pauses."""
        patience = _Patience(self._driver, self._breaker)
        with self._translated():
            async for attempt in stamina.retry_context(
                on=patience, attempts=MAX_ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=1.0, wait_jitter=0.2
            ):
                with attempt:
                    return await work()
        raise AssertionError("a retry ends with a result or an error")

    async def _execute(self, statement: Any, profile: str, slots: asyncio.Semaphore) -> list[Row]:
        """Execute once; the breaker learns what comes of it."""
        async with slots:
            self._breaker.check()
            try:
                response = self._session.execute_async(statement, execution_profile=profile)
                rows: list[Row] = await self._driver.fetch_all(
                    response, asyncio.get_running_loop(), self._breaker.watch
                )
            except self._driver.DRIVER_ERRORS as error:
                self._note(error)
                raise
        self._breaker.note_response()
        return rows

    def _note(self, error: Exception) -> None:
        """Tell the breaker what an error says about the cluster."""
        answered = self._driver.has_answered(error)
        if answered:
            self._breaker.note_response()
        elif answered is False:
            self._breaker.note_failure(self._driver.translate_error(error, self.location))

    async def _ping(self) -> bool:
        return bool(await self._driver.ping(self._session, asyncio.get_running_loop()))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise the driver's errors in the block as StoreError; a fault of this program stays what it is."""
        try:
            yield
        except self._driver.DRIVER_ERRORS as error:
            raise self._driver.translate_error(error, self.location) from error


class _Patience:
    """Decides after each error of one statement whether it is tried again (a backoff hook of stamina)."""

    def __init__(self, driver: ModuleType, breaker: CircuitBreaker) -> None:
        self._driver, self._breaker = driver, breaker
        self._began, self._failures = time.monotonic(), 0

    def __call__(self, error: Exception) -> bool | float:
        """Whether to try again, or after how many seconds."""
        self._failures += 1
        if not isinstance(error, self._driver.TRANSIENT_ERRORS) or self._breaker.is_open:
            return False
        pause = float(BUSY_PAUSE * 2 ** (self._failures - 1) * random.uniform(1.0, 1.5))
        if self._driver.is_overloaded(error):
            return self._failures < OVERLOAD_ATTEMPTS and pause
        if isinstance(error, self._driver.SLOW_ERRORS):
            return pause
        return self._failures < 2 or time.monotonic() - self._began < RETRY_SECONDS


async def connect_cassandra(
    points: Sequence[str] = ("127.0.0.1",),
    port: int = 9042,
    keyspace: str = "footage",
    *,
    user: str = "",
    password: str = "",
    tls: bool = False,
    ca: Path | None = None,
    datacenter: str = "",
    bundle: Path | None = None,
    token: str = "",
    in_flight: int = MAX_IN_FLIGHT,
) -> CassandraSession:
    """Connect to a cluster by contact points, or to Astra DB by ``bundle``.

    Args:
        points: addresses of one or more nodes.
        port: the port for clients, the same on every node.
        keyspace: lower-case letters, digits and underscores.
        user: user name, or Astra's client id.
        password: password, or Astra's client secret.
        tls: encrypt, and check the server's certificate.
        ca: certificates of the authorities to trust instead of the system's.
        datacenter: the one to use; if empty, that of the first contact point that answers.
        bundle: Astra's secure connect bundle (zip), which names the contact points.
        token: Astra's token (``AstraCS:...``), instead of user and password.
        in_flight: most requests at once.

    Raises:
        StoreUnreachable: no node answers.
        StoreError: the driver is missing, a name or a credential is refused.
    """
    try:
        from footage.indexer.store.cassandra import driver
    except ImportError as error:
        raise StoreError("Cassandra needs its driver: pip install 'footage[cassandra]'") from error
    if not KEYSPACE_NAME.fullmatch(keyspace):
        raise StoreError(f"the keyspace {keyspace!r} must be lower-case letters, digits and underscores, at most 48")
    credentials = ("token", token) if token else (user, password)
    if bundle and not await asyncio.to_thread(bundle.is_file):
        raise StoreError(f"{bundle}: there is no secure connect bundle; download it from Astra's console")
    location = f"Astra {keyspace}" if bundle else f"Cassandra {', '.join(points)}:{port}/{keyspace}"
    try:
        if bundle:
            cluster = await asyncio.to_thread(driver.make_astra_cluster, bundle, credentials)
        else:
            cluster = driver.make_cluster(tuple(points), port, credentials, datacenter, tls, ca)
    except driver.DRIVER_ERRORS as error:
        raise driver.translate_error(error, location) from error
    session = CassandraSession(driver, cluster, keyspace, location, bool(bundle), in_flight)
    await session.open()
    return session


async def gather_all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Wait until all have ended, then return the results in order or raise the first error."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]
