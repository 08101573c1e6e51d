"""Defines the keys under which the aiohttp application holds its services."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from footage.indexer.disk import DiskMonitor
from footage.indexer.embed.lite_detector import LiteDetector
from footage.indexer.live.service import LiveService
from footage.indexer.pipeline.refused import RefusedRecords
from footage.indexer.store.base import Catalog, Store
from footage.indexer.store.integrity import IndexHealth
from footage.indexer.supervisor import Supervisor
from footage.query.clips.service import ClipService
from footage.query.http.audit import AuditLog
from footage.query.http.camera_contract import CameraAdmin
from footage.query.http.metrics import Metrics
from footage.query.http.sessions import Sessions
from footage.query.http.shares import Shares
from footage.query.http.tokens import Authenticator
from footage.query.moments.reviews import ReviewLog
from footage.query.peers.peers import Peers
from footage.query.search.engine import SearchEngine

DISK: web.AppKey[DiskMonitor] = web.AppKey("disk", DiskMonitor)
HEALTH: web.AppKey[IndexHealth] = web.AppKey("health", IndexHealth)
STORE: web.AppKey[Store] = web.AppKey("store", Store)
CATALOG: web.AppKey[Catalog] = web.AppKey("catalog", Catalog)
SEARCH_ENGINE: web.AppKey[SearchEngine] = web.AppKey("search_engine", SearchEngine)
CLIP_SERVICE: web.AppKey[ClipService] = web.AppKey("clip_service", ClipService)
"""Of this machine's footage only; requests for other footage are passed on."""
EXPORT_CLIPS: web.AppKey[ClipService] = web.AppKey("export_clips", ClipService)
"""Of the whole cluster's footage."""
PEERS: web.AppKey[Peers | None] = web.AppKey("peers", Peers)
"""The other services of the cluster; None where nothing is shared."""
LIVE: web.AppKey[LiveService | None] = web.AppKey("live", LiveService)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
AUDIT_LOG: web.AppKey[AuditLog | None] = web.AppKey("audit", AuditLog)
AUTHENTICATOR: web.AppKey[Authenticator] = web.AppKey("authenticator", Authenticator)
MODEL: web.AppKey[str] = web.AppKey("model", str)
"""Which model this service has, and why, in one line."""
REVIEWS: web.AppKey[ReviewLog] = web.AppKey("reviews", ReviewLog)
DETECTOR: web.AppKey[LiteDetector] = web.AppKey("detector", LiteDetector)
CAMERA_ADMIN: web.AppKey[CameraAdmin | None] = web.AppKey("camera_admin", CameraAdmin)
"""Changes the cameras that this service reads; None where it reads none of its own."""
CLOCK_PROBLEM: web.AppKey[Callable[[], str]] = web.AppKey("clock_problem", Callable)  # type: ignore[arg-type]
"""Says what is wrong with the clock of this machine; empty when nothing is known."""
SHARES: web.AppKey[Shares] = web.AppKey("shares", Shares)
SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions", Sessions)
MISCONFIGURED: web.AppKey[Mapping[str, str]] = web.AppKey("misconfigured", Mapping)
"""Why cameras of the settings cannot be watched, by name."""
SUPERVISOR: web.AppKey[Supervisor | None] = web.AppKey("supervisor", Supervisor)
REFUSED: web.AppKey[RefusedRecords | None] = web.AppKey("refused", RefusedRecords)
WORKER: web.AppKey[str] = web.AppKey("worker", str)
"""The name under which this service shares cameras with other workers; empty if it does not."""
