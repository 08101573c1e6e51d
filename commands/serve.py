"""``footage serve``: live cameras into the index, and the HTTP service."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import timedelta

import typer
from aiohttp import web

from footage.commands import parts as made
from footage.commands import workers
from footage.commands.audit import auditing
from footage.commands.errors import MODEL, say
from footage.commands.token import held_tokens
from footage.commands.workers import running
from footage.config.settings import Settings, SettingsError
from footage.indexer.cluster.fence import Fence
from footage.indexer.cluster.leases import Leases
from footage.indexer.live.retention import Expiry
from footage.indexer.live.service import Live
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record, StoreError, StoreUnreachable
from footage.query.clips.service import Cutter, Hold
from footage.query.http import app, auth, camera_status
from footage.query.http.metrics import Metrics
from footage.query.http.watch_routes import Desk
from footage.query.watches.alerts import Alerts
from footage.query.watches.evaluator import Watches
from footage.query.watches.scoring import Scorer
from footage.query.watches.webhook import Courier
from footage.stream.recording.archive import Shelf

log = logging.getLogger(__name__)

ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""
MOVED = 5.0
"""Seconds between looks at whether the index has moved to another model."""
SPOOL = 1 << 30
"""Bytes of records that wait while a cluster is away: at 2 kB each half a million."""
STOP = 10.0
"""Seconds in which everything in flight is finished after SIGTERM."""


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        Unsafe: the address is not loopback and there is no token.
    """
    token = settings.token.get_secret_value() if settings.token else None
    if not token and not auth.is_loopback(settings.host):
        auth.check(settings.host, bool(asyncio.run(held_tokens(settings))))
    few_arenas()
    if asyncio.run(_serve(settings, token)):
        say("the index has moved to another model; start footage serve again to go on with it")
        raise typer.Exit(MODEL)


def few_arenas() -> None:
    """Let glibc keep freed memory in two arenas instead of one a thread, so that a service's memory stays flat.

    Measured over 1,200 writes to LanceDB: 207 MB and rising without this and without bounded caches, 93 MB and flat
    with both (docs/live.md).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(ARENA_MAX, 2)


async def _serve(settings: Settings, token: str | None) -> bool:
    """Serve until told to stop; whether that was because the index has moved to another model."""
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    if settings.worker and settings.store == "embedded":
        raise SettingsError("worker: cameras are shared in a cluster; set store: cassandra or astra")
    metrics = Metrics()
    events = Alerts()
    async with (
        made.opened(settings) as parts,
        workers.leasing(settings, parts) as leases,
        standing(settings, parts, metrics, events, leases) as watches,
        watching(settings, parts, metrics, watches, leases) as live,
        auditing(settings) as audit,
    ):
        hold: Hold = live.shelf.playing if live else lambda _: nullcontext()
        cutter = Cutter(parts.store, parts.catalog, made.clips(settings), hold=hold)
        desk = Desk(parts.embedder, parts.bank, events)
        service = app.Parts(
            parts.store, parts.catalog, parts.searcher, cutter, metrics, live, desk, audit, settings.worker
        )
        application = app.build(service, token, auth.is_loopback(settings.host))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0, max_line_size=app.LINE)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port)
            await site.start()
            say(f"serving {_address(runner)} (index {settings.data}, model {parts.model})")
            return await _until(stop, parts)
        finally:
            await runner.cleanup()


async def _until(stop: asyncio.Event, parts: made.Parts) -> bool:
    """Wait to be told to stop, or until the index moves to another model; whether that was it."""
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), MOVED)
        with suppress(StoreUnreachable, TimeoutError):  # searches answer 503 meanwhile, and records wait
            async with asyncio.timeout(MOVED):
                if await parts.catalog.pinned() != parts.embedder.space:
                    return True
    return False


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def standing(
    settings: Settings, parts: made.Parts, metrics: Metrics, events: Alerts, leases: Leases | None
) -> AsyncIterator[Watches]:
    """Evaluate the watches while the block runs: in a cluster, those of the cameras that are watched here."""
    courier = Courier(parts.catalog, metrics.watched, leases=leases)
    scorer = Scorer(parts.embedder, parts.store, parts.bank)
    own = [] if settings.worker else [c.name for c in settings.cameras]
    watches = Watches(
        scorer, parts.store, parts.catalog, events, courier, metrics.watched, cameras=own if leases else None
    )
    if leases and not own and not settings.worker:  # it only answers searches
        yield watches
        return
    async with running(watches.run()):
        yield watches


@asynccontextmanager
async def watching(
    settings: Settings, parts: made.Parts, metrics: Metrics, watches: Watches, leases: Leases | None
) -> AsyncIterator[Live | None]:
    """Index live cameras while the block runs: those of the settings, or a share of the cluster's; None without any."""
    if not settings.cameras and not settings.worker:
        yield None
        return

    async def written(records: Sequence[Record]) -> None:
        await metrics.written(records)
        await watches.seen(records)

    shelf = Shelf(made.recordings(settings))
    fence = Fence(leases.left) if leases and settings.worker else None
    live = Live(
        parts.embedder,
        parts.store,
        parts.catalog,
        [] if fence else [workers.camera(c) for c in settings.cameras],
        shelf=shelf,
        least_free=settings.disk_free,
        spool=None if settings.store == "embedded" else Spool(settings.data / "spool", SPOOL),
        fence=fence,
        written=written,
    )
    keep = {c.name: timedelta(seconds=c.keep) if c.keep else None for c in settings.cameras}
    expiry = Expiry(parts.store, parts.catalog, shelf, keep, settings.recordings_size, 2 * settings.disk_free)
    await live.start()
    metrics.watch(live)
    chores = (expiry.run(), camera_status.tell(parts.catalog, live, settings.worker), _maintain(parts))
    if leases and fence:
        worker = await workers.joined(settings.worker, parts.catalog, leases, fence, live, watches, keep)
    else:
        worker = None
        say(f"watching {len(keep)} camera{'s' * (len(keep) != 1)}: {', '.join(sorted(keep))}")
    try:
        async with running(*chores, *([worker.run()] if worker else [])):
            yield live
    finally:
        if not await live.stop(STOP - 2.0):
            say("not everything in flight could be finished in time; it was not acknowledged")
        if worker:
            await worker.stop()


async def _maintain(parts: made.Parts) -> None:
    """Compact and index what has been added, now and then."""
    while True:
        await asyncio.sleep(60)
        try:
            await parts.store.maintain()
        except StoreError:
            log.exception("maintenance failed; it is tried again in a minute")
