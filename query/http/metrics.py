"""What the service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from footage.indexer.live.service import Live
from footage.indexer.store.base import Record

FRESH = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds; the mark is 1.5 for 95 of 100."""


class Metrics:
    """One registry an application, so that two of them in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "footage_requests_total", "HTTP requests by route and status", ["route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "footage_request_seconds", "Time to answer by route", ["route"], registry=self.registry
        )
        self.searches = Counter(
            "footage_searches_total", "Searches by outcome: found or nothing", ["outcome"], registry=self.registry
        )
        self.watches = Counter(
            "footage_watch_total",
            "Watches by outcome: fired, delivered, failed (once an attempt) or dead",
            ["watch", "outcome"],
            registry=self.registry,
        )
        self.records = Gauge("footage_records", "Vectors in the index when last asked", registry=self.registry)
        self.freshness = Histogram(
            "footage_freshness_seconds", "From capture to searchable", buckets=FRESH, registry=self.registry
        )

    async def written(self, records: Sequence[Record]) -> None:
        """Live records have become searchable."""
        now = datetime.now(UTC)
        for record in records:
            if record.region is None:
                self.freshness.observe((now - record.time).total_seconds())

    def watched(self, watch: str, outcome: str) -> None:
        """A watch fired, or what it told was delivered or not."""
        self.watches.labels(watch, outcome).inc()

    def watch(self, live: Live) -> None:
        """Show the live cameras from now on."""
        self.registry.register(Cameras(live))


class Cameras(Collector):
    """The live cameras' states and counts, read when Prometheus asks."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Every metric of every camera."""
        up = GaugeMetricFamily("footage_camera_live", "1 while pictures come", labels=["camera", "state"])
        age = GaugeMetricFamily("footage_camera_frame_age_seconds", "Since the newest frame", labels=["camera"])
        skew = GaugeMetricFamily("footage_camera_clock_skew_seconds", "Camera's clock ahead of ours", labels=["camera"])
        counts = {
            name: CounterMetricFamily(f"footage_camera_{name}", text, labels=["camera"])
            for name, text in (
                ("frames_seen", "Frames looked at"),
                ("frames_kept", "Frames embedded"),
                ("frames_dropped", "Frames dropped for want of room"),
                ("reconnects", "Connections made anew"),
            )
        }
        for s in self._live.cameras():
            up.add_metric([s.name, s.status.state.value], float(s.status.state.value == "live"))
            if s.status.last_frame:
                age.add_metric([s.name], (datetime.now(UTC) - s.status.last_frame).total_seconds())
            if s.status.skew is not None:
                skew.add_metric([s.name], s.status.skew)
            values = (s.seen, s.kept, s.dropped, s.status.reconnects)
            for metric, value in zip(counts.values(), values, strict=True):
                metric.add_metric([s.name], value)
        yield CounterMetricFamily(
            "footage_records_fenced",
            "Records dropped because another worker watches their camera now",
            value=self._live.fenced,
        )
        load = self._live.load()
        yield from (up, age, skew, *counts.values())
        yield GaugeMetricFamily("footage_embedder_busy", "Share of the last minute spent embedding", value=load.busy)
        sustained = "Cameras like the present ones that this machine could serve"
        yield GaugeMetricFamily("footage_cameras_sustained", sustained, value=load.sustained or 0)
