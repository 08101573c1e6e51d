"""One connection to a cluster, shared by store and catalogue, for use from asyncio."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import stamina

from footage.indexer.store.base import StoreError

T = TypeVar("T")
Row = tuple[Any, ...]
Statement = tuple[str, Row]
"""CQL with a ``?`` for every value and an ``@`` before the keyspace's tables, and the values."""

IN_FLIGHT = 16  # requests: more do not write faster (see docs/decisions/0007)
ATTEMPTS = 6  # of an idempotent statement, with growing pauses: about ten seconds in all
PAGE = 5_000  # rows
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


class Session:
    """Statements to one keyspace.

    The driver's own threads connect, send and hear; answers come to the event loop through one bridge. Connecting and
    preparing, which block, are done on a worker thread. At most ``in_flight`` requests are on their way at once; the
    others wait their turn. Whoever called ``connect`` closes it, after the store and the catalogue.

    Attributes:
        place: where it is connected to, in words for messages; never holds credentials.
        keyspace: its name.
        astra: it is an Astra database, which takes no table options and makes no keyspaces by CQL.
    """

    def __init__(
        self, driver: ModuleType, cluster: Any, keyspace: str, place: str, astra: bool, in_flight: int
    ) -> None:
        """Use ``connect`` instead."""
        self.place = place
        self.keyspace = keyspace
        self.astra = astra
        self._driver = driver
        self._cluster = cluster
        self._session: Any = None
        self._prepared: dict[str, asyncio.Future[Any]] = {}
        self._turns = asyncio.Semaphore(in_flight)

    async def open(self) -> None:
        """Connect."""
        try:
            self._session = await asyncio.to_thread(self._driver.connected, self._cluster)
        except BaseException as error:
            await asyncio.to_thread(self._cluster.shutdown)
            raise self._driver.explain(error, self.place) if isinstance(error, Exception) else error from error

    async def define(self, cql: str) -> None:
        """Change the schema."""
        await self._explained(asyncio.to_thread(self._session.execute, self._named(cql), timeout=120))

    async def rows(self, cql: str, *values: Any, how: str = "read") -> list[Row]:
        """The rows of a SELECT of at most 5,000; ``how`` is one of the driver module's profiles."""
        return await self._again(await self._bound(cql, values), how)

    async def pages(
        self, select: str, where: str, fixed: Row, key: str, first: Row, last: Row | None = None, page: int = PAGE
    ) -> AsyncIterator[list[Row]]:
        """The rows of one partition between two clustering keys, a page at a time, by key rather than by server state.

        Args:
            select: columns and table; the columns start with those of the key.
            where: the partition.
            fixed: a value for each ``?`` of ``select`` and ``where``.
            key: clustering columns, such as ``time, region``.
            first: the least key, included.
            last: the end, not included; None for the end of the partition.
            page: rows at once.
        """
        marks = ", ".join("?" * len(first))
        end = f"AND ({key}) < ({marks}) " if last else ""
        sign, bound = ">=", first
        while True:
            cql = f"SELECT {select} WHERE {where} AND ({key}) {sign} ({marks}) {end}LIMIT ?"
            rows = await self.rows(cql, *fixed, *bound, *(last or ()), page)
            if rows:
                yield rows
            if len(rows) < page:
                return
            sign, bound = ">", rows[-1][: len(first)]

    async def write(self, cql: str, *values: Any) -> None:
        """An INSERT, UPDATE or DELETE that may be repeated."""
        await self._again(await self._bound(cql, values), "write")

    async def batch(self, statements: Iterable[Statement]) -> None:
        """Statements of one partition that may be repeated, applied as one."""
        await self._again(await self._together(statements, idempotent=True), "write")

    async def decide(self, *statements: Statement) -> bool:
        """Conditional statements of one partition, applied as one or not at all.

        Returns:
            Whether they were surely applied. After False the state must be read again, with ``how="serial"``.
        """
        if len(statements) == 1:
            bound = await self._bound(*statements[0])
            bound.is_idempotent = False
        else:
            bound = await self._together(statements, idempotent=False)
        try:
            return bool((await self._execute(bound, "write"))[0][0])
        except self._driver.Transient as error:
            if isinstance(error, self._driver.NoHostAvailable):
                raise self._driver.explain(error, self.place) from error
            await asyncio.sleep(0.1)  # it may have been applied, and two that ask at once hinder each other
            return False

    async def close(self) -> None:
        """Disconnect. Calling it twice does no harm."""
        await asyncio.to_thread(self._cluster.shutdown)

    async def _together(self, statements: Iterable[Statement], *, idempotent: bool) -> Any:
        bound = [(await self._prepare(cql), values) for cql, values in statements]
        return self._driver.batch(bound, idempotent=idempotent)

    async def _bound(self, cql: str, values: Row) -> Any:
        bound = (await self._prepare(cql)).bind(values)
        bound.is_idempotent = True
        return bound

    async def _prepare(self, cql: str) -> Any:
        """The prepared statement; whoever needs one that is being prepared waits for it."""
        if cql not in self._prepared:
            self._prepared[cql] = asyncio.ensure_future(asyncio.to_thread(self._prepare_now, cql))
        try:
            return await asyncio.shield(self._prepared[cql])
        except Exception as error:
            self._prepared.pop(cql, None)
            raise self._driver.explain(error, self.place) from error

    def _prepare_now(self, cql: str) -> Any:
        return self._driver.vectors_as_bytes(self._session.prepare(self._named(cql)))

    def _named(self, cql: str) -> str:
        return cql.replace("@", f"{self.keyspace}.")

    async def _again(self, statement: Any, how: str) -> list[Row]:
        """Execute, and repeat after growing pauses what failed for the moment."""
        try:
            async for attempt in stamina.retry_context(
                on=self._driver.Transient, attempts=ATTEMPTS, timeout=None, wait_initial=0.3, wait_max=5.0
            ):
                with attempt:
                    return await self._execute(statement, how)
        except Exception as error:
            raise self._driver.explain(error, self.place) from error
        raise AssertionError("a retry ends with a result or an error")

    async def _execute(self, statement: Any, how: str) -> list[Row]:
        async with self._turns:
            response = self._session.execute_async(statement, execution_profile=how)
            return await self._driver.bridge(response, asyncio.get_running_loop()) or []

    async def _explained(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except Exception as error:
            raise self._driver.explain(error, self.place) from error


async def connect(
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
    in_flight: int = IN_FLIGHT,
) -> Session:
    """Connect to a cluster by contact points, or to Astra DB by ``bundle``.

    Args:
        points: addresses of one or more nodes.
        port: where clients connect, the same on every node.
        keyspace: lower-case letters, digits and underscores.
        user: user name, or Astra's client id.
        password: password, or Astra's client secret.
        tls: encrypt, and check the server's certificate.
        ca: certificates of the authorities to trust in place of the system's.
        datacenter: the one to talk to; that of the first point that answers if empty.
        bundle: Astra's secure connect bundle (zip); the points are in it.
        token: Astra's token (``AstraCS:...``), in place of user and password.
        in_flight: most requests on their way at once.

    Raises:
        StoreUnreachable: no node answers.
        StoreError: the driver is missing, a name or a credential is refused.
    """
    try:
        from footage.indexer.store.cassandra import driver
    except ImportError as error:
        raise StoreError("Cassandra needs its driver: pip install 'footage[cassandra]'") from error
    if not NAME.fullmatch(keyspace):
        raise StoreError(f"the keyspace {keyspace!r} must be lower-case letters, digits and underscores, at most 48")
    credentials = ("token", token) if token else (user, password)
    if bundle and not await asyncio.to_thread(bundle.is_file):
        raise StoreError(f"{bundle}: there is no secure connect bundle; download it from Astra's console")
    place = f"Astra {keyspace}" if bundle else f"Cassandra {', '.join(points)}:{port}/{keyspace}"
    try:
        if bundle:
            cluster = await asyncio.to_thread(driver.astra, bundle, credentials)
        else:
            cluster = driver.cluster(tuple(points), port, credentials, datacenter, tls, ca)
    except Exception as error:
        raise driver.explain(error, place) from error
    session = Session(driver, cluster, keyspace, place, bool(bundle), in_flight)
    await session.open()
    return session


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results, in order, after all has ended; then the first error, if any."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]
