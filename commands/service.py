"""Composes what ``footage serve`` runs besides HTTP: live cameras, watches, the worker and the audit log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from functools import partial

from footage.commands import memory, worker
from footage.commands.backend import note_vectors
from footage.commands.camera_admin import ServiceCameras
from footage.commands.composition import SearchServices, audit_log, clip_cache, reach_cluster, recordings_folder
from footage.commands.errors import print_message
from footage.config.settings import Settings
from footage.indexer.cluster.fence import Fence
from footage.indexer.cluster.leases import Leases
from footage.indexer.disk import DiskMonitor
from footage.indexer.live.expiry_clock import ExpiryClock
from footage.indexer.live.retention import Retention
from footage.indexer.live.service import LiveService
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record
from footage.indexer.store.errors import PASSING, StoreError, StoreFull
from footage.indexer.supervisor import Supervisor, Work
from footage.query.clips.service import ClipService, RetentionHold
from footage.query.http import camera_status
from footage.query.http.app import AppServices
from footage.query.http.audit import AuditLog
from footage.query.http.metrics import Metrics
from footage.query.http.watch_routes import WatchContext
from footage.query.watches.alert_stream import AlertStream
from footage.query.watches.evaluator import WatchEvaluator
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.webhook import WebhookSender
from footage.stream.hardware import find_decoder
from footage.stream.recording.archive import SegmentArchive

log = logging.getLogger(__name__)

SPOOL_SIZE = 1 << 30
"""Bytes of records that wait while a cluster is unreachable: at 2 kB each, half a million."""
CLOCK_FILE = "clock.json"
"""In the data folder: what the service believes of the machine's clock."""
STOP_TIMEOUT = 10.0
"""Seconds in which everything in flight is finished after SIGTERM."""
MAINTENANCE_INTERVAL = 60.0
"""Seconds between the times at which the store compacts and indexes what has been added."""


@asynccontextmanager
async def run_service(settings: Settings, services: SearchServices) -> AsyncIterator[AppServices]:
    """Run watches, live cameras and the audit log while the block runs; what the HTTP routes need of them."""
    metrics, alerts, clock = Metrics(), AlertStream(), ExpiryClock(file=settings.data / CLOCK_FILE)
    async with (
        Supervisor() as supervisor,
        worker.open_leases(settings, services.catalog, supervisor) as leases,
        _run_watches(settings, services, metrics, alerts, leases, supervisor) as watches,
        _run_cameras(settings, services, metrics, watches, leases, clock, supervisor) as (live, cameras),
        _run_audit_log(settings, clock, supervisor) as audit,
        _watch_disk(settings, metrics, supervisor) as disk,
    ):
        metrics.add_stages(supervisor)
        hold: RetentionHold = live.archive.protect if live else lambda _: nullcontext()
        services.clip_service.hold = hold  # searches read pictures, too
        clips = ClipService(services.store, services.catalog, clip_cache(settings), hold=hold)
        yield AppServices(
            services.store,
            services.catalog,
            services.engine,
            clips,
            metrics,
            live,
            WatchContext(services.embedder, services.noun_bank, alerts),
            audit,
            settings.worker,
            cameras.misconfigured if cameras else _note_misconfigured(settings, metrics),
            services.health,
            disk=disk,
            peers=services.peers,
            refused=services.refused,
            export_clips=reach_cluster(clips, services.peers),
            supervisor=supervisor,
            model=services.model,
            camera_admin=cameras,
            expiry_clock=clock,
            clock_problem=lambda: clock.problem,
        )


def _note_misconfigured(settings: Settings, metrics: Metrics) -> dict[str, str]:
    """Why cameras of the settings cannot be watched, by name; counted in the metrics."""
    misconfigured = {problem.name or "unnamed": problem.text for problem in settings.camera_problems}
    metrics.misconfigured.set_function(lambda: len(misconfigured))
    return misconfigured


@asynccontextmanager
async def _watch_disk(settings: Settings, metrics: Metrics, supervisor: Supervisor) -> AsyncIterator[DiskMonitor]:
    """Check while the block runs whether the data folder and the recordings have room."""
    disk = DiskMonitor(tuple(dict.fromkeys((settings.data, recordings_folder(settings)))))
    metrics.disk_full.set_function(lambda: bool(disk.problem))
    async with supervisor.running(disk=disk.run):
        yield disk


@asynccontextmanager
async def _run_audit_log(
    settings: Settings, clock: ExpiryClock, supervisor: Supervisor
) -> AsyncIterator[AuditLog | None]:
    """Delete old entries of the audit log while the block runs, even when it is off; None when it is off."""
    audit = audit_log(settings)
    async with supervisor.running(audit=partial(audit.run, clock, clock.wrong)):
        yield audit if settings.audit else None


@asynccontextmanager
async def _run_watches(
    settings: Settings,
    services: SearchServices,
    metrics: Metrics,
    alerts: AlertStream,
    leases: Leases | None,
    supervisor: Supervisor,
) -> AsyncIterator[WatchEvaluator]:
    """Evaluate the watches while the block runs: in a cluster, those of the cameras that are watched here."""
    webhooks = WebhookSender(services.catalog, metrics.count_watch, leases=leases, supervisor=supervisor)
    scorer = WatchScorer(services.embedder, services.store, services.noun_bank, supervisor=supervisor)
    own = [] if settings.worker else [c.name for c in settings.cameras]
    cameras = own if leases else None
    watches = WatchEvaluator(
        scorer, services.store, services.catalog, alerts, webhooks, metrics.count_watch, cameras=cameras
    )
    if leases and not own and not settings.worker:  # this service only answers searches
        yield watches
        return
    async with supervisor.running(watches=watches.run):
        yield watches


@asynccontextmanager
async def _run_cameras(
    settings: Settings,
    services: SearchServices,
    metrics: Metrics,
    watches: WatchEvaluator,
    leases: Leases | None,
    clock: ExpiryClock,
    supervisor: Supervisor,
) -> AsyncIterator[tuple[LiveService | None, ServiceCameras | None]]:
    """Index live cameras while the block runs: those of the settings, or a share of the cluster's.

    Without any, an embedded index is ready for those that are added; a service of a cluster only answers then.
    """
    if not settings.cameras and leases and not settings.worker:
        yield None, None
        return
    archive = SegmentArchive(recordings_folder(settings))
    fence = Fence(leases.seconds_left) if leases and settings.worker else None
    live = await _start_live(settings, services, metrics, watches, archive, fence, supervisor)
    keep = {c.name: timedelta(seconds=c.keep) if c.keep else None for c in settings.cameras}
    space = (settings.recordings_size, 2 * settings.disk_free)
    retention = Retention(services.store, services.catalog, archive, keep, *space, clock)
    stages: dict[str, Work] = {
        "status": partial(camera_status.publish_status, services.catalog, live, settings.worker, supervisor),
        "maintenance": partial(_maintain, services),
    }
    member = None
    if leases and fence:
        assert services.peers
        note_recorder = services.peers.directory.note_recorder
        parts = (services.catalog, leases, fence, live, watches, supervisor, keep, note_recorder)
        member = await worker.create_worker(settings.worker, *parts)
        stages["worker"] = member.run
    else:
        if services.peers:
            for camera in keep:
                await services.peers.directory.note_recorder(camera)
        if keep:
            print_message(f"watching {len(keep)} camera{'s' * (len(keep) != 1)}: {', '.join(sorted(keep))}")
    added = None
    if not member:
        misconfigured = _note_misconfigured(settings, metrics)
        on_added = partial(_begin_camera, services, watches if leases else None, retention, supervisor)
        added = ServiceCameras(settings, services, live, supervisor, keep, misconfigured, on_added)
        await added.start()
    if settings.cameras or member:  # a service that only answers deletes nothing
        stages["retention"] = retention.run
    try:
        async with supervisor.running(**stages):
            yield live, added
    finally:
        if not await live.stop(STOP_TIMEOUT - 2.0):
            print_message("not everything in flight could be finished in time; it was not acknowledged")
        if member:
            await member.stop()


async def _begin_camera(
    services: SearchServices, watches: WatchEvaluator | None, retention: Retention, supervisor: Supervisor, name: str
) -> None:
    """Prepare for a camera that was added: it may be the first one, whose footage must not fill the disk."""
    if not any(stage.name == "retention" for stage in supervisor.stages):
        supervisor.start("retention", retention.run)
    if services.peers:
        await services.peers.directory.note_recorder(name)
    if watches:
        await watches.on_camera_added(name)


async def _start_live(
    settings: Settings,
    services: SearchServices,
    metrics: Metrics,
    watches: WatchEvaluator,
    archive: SegmentArchive,
    fence: Fence | None,
    supervisor: Supervisor,
) -> LiveService:
    """The live service, started; a worker's begins without cameras."""

    async def on_written(records: Sequence[Record]) -> None:
        await metrics.observe_freshness(records)
        await watches.on_written(records)

    spool = None if settings.store == "embedded" else Spool(settings.data / "spool", SPOOL_SIZE)
    watches.is_spooling = lambda: bool(spool and spool.pending)
    live = await LiveService.start(
        services.embedder,
        services.store,
        services.catalog,
        [] if fence else [worker.indexer_camera(c) for c in settings.cameras],
        archive=archive,
        supervisor=supervisor,
        least_free=settings.disk_free,
        spool=spool,
        fence=fence,
        refused=services.refused,
        on_written=on_written,
        decoder=find_decoder(settings.decoder),
    )
    metrics.add_cameras(live)
    metrics.add_backlog(lambda: {**live.backlog(), "watches": watches.backlog})
    return live


async def _maintain(services: SearchServices) -> None:
    """Compact and index what has been added, every minute, and give back what was freed."""
    while True:
        await asyncio.sleep(MAINTENANCE_INTERVAL)
        try:
            await services.store.maintain()
            await note_vectors(services.store, services.catalog)
        except StoreFull:
            log.debug("no maintenance: the disk is full")
        except PASSING as error:
            log.warning("no maintenance: %s; it is tried again in a minute", error)
        except StoreError:
            log.exception("maintenance failed; it is tried again in a minute")
        await asyncio.to_thread(memory.give_back)
