"""Keys under which the application holds its parts."""

from __future__ import annotations

from aiohttp import web

from footage.indexer.live.service import Live
from footage.indexer.store.base import Catalog, Store
from footage.query.clips.service import Cutter
from footage.query.http.audit import Audit
from footage.query.http.metrics import Metrics
from footage.query.http.tokens import Keys
from footage.query.search.postprocess import Finisher

STORE: web.AppKey[Store] = web.AppKey("store", Store)
CATALOG: web.AppKey[Catalog] = web.AppKey("catalog", Catalog)
FINISHER: web.AppKey[Finisher] = web.AppKey("finisher", Finisher)
CUTTER: web.AppKey[Cutter] = web.AppKey("cutter", Cutter)
LIVE: web.AppKey[Live | None] = web.AppKey("live", Live)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
AUDIT: web.AppKey[Audit | None] = web.AppKey("audit", Audit)
KEYS: web.AppKey[Keys] = web.AppKey("keys", Keys)
WORKER: web.AppKey[str] = web.AppKey("worker", str)
"""The name under which this service shares cameras with others; empty when it does not."""
