"""Collects the metrics of the service, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from footage.indexer.live.service import LiveService
from footage.indexer.pipeline.refused import RefusedSummary
from footage.indexer.store.base import Record
from footage.indexer.supervisor import Supervisor

FRESHNESS_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds; the target is a 95th percentile of 1.5."""


class Metrics:
    """The metrics of one application, in a registry of their own, so that two applications fit in one process."""

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
        self.records = Gauge(
            "footage_records", "Vectors in the index when its cameras were last listed", registry=self.registry
        )
        self.refused = Gauge(
            "footage_records_refused",
            "Records that the store refused for good, set aside on this machine",
            ["camera"],
            registry=self.registry,
        )
        self.refused_lost = Gauge(
            "footage_records_refused_lost",
            "Refused records that found no room in the file and are lost",
            registry=self.registry,
        )
        self.misconfigured = Gauge(
            "footage_cameras_misconfigured", "Cameras of the settings that cannot be watched", registry=self.registry
        )
        self.disk_full = Gauge(
            "footage_disk_full",
            "1 while there is no room for data or recordings, or they cannot be written to",
            registry=self.registry,
        )
        self.damaged = Gauge(
            "footage_index_damaged", "1 if the index was damaged at the last readiness check", registry=self.registry
        )
        self.freshness = Histogram(
            "footage_freshness_seconds", "From capture to searchable", buckets=FRESHNESS_BUCKETS, registry=self.registry
        )

    async def observe_freshness(self, records: Sequence[Record]) -> None:
        """Observe the seconds from capture to now, when live records have become searchable."""
        now = datetime.now(UTC)
        for record in records:
            if record.region is None:
                self.freshness.observe((now - record.time).total_seconds())

    def count_watch(self, watch: str, outcome: str) -> None:
        """Count an alert of a watch, or an attempt to deliver it."""
        self.watches.labels(watch, outcome).inc()

    def set_refused(self, refused: RefusedSummary) -> None:
        """Set how many records are set aside now."""
        self.refused.clear()
        for camera, count in refused.cameras.items():
            self.refused.labels(camera).set(count)
        self.refused_lost.set(refused.dropped)

    def add_cameras(self, live: LiveService) -> None:
        """Include the live cameras from now on."""
        self.registry.register(CameraCollector(live))

    def add_backlog(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Include from now on how much waits, by queue."""
        self.registry.register(BacklogCollector(read))

    def add_stages(self, supervisor: Supervisor) -> None:
        """Include the background stages from now on."""
        self.registry.register(StageCollector(supervisor))


class BacklogCollector(Collector):
    """Reads how much waits in each queue when Prometheus scrapes."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """What waits in each queue."""
        waiting = GaugeMetricFamily("footage_backlog", "What waits in each queue", labels=["queue"])
        for queue, count in self._read().items():
            waiting.add_metric([queue], count)
        yield waiting


class StageCollector(Collector):
    """Reads how the background stages are when Prometheus scrapes."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        """Every metric of every stage."""
        up = GaugeMetricFamily(
            "footage_stage_up", "1 while all background stages of this name are well", labels=["stage"]
        )
        failures = CounterMetricFamily("footage_stage_failures", "Deaths of background stages", labels=["stage"])
        for name, well in self._supervisor.health().items():
            up.add_metric([name], float(well))
            failures.add_metric([name], self._supervisor.failures[name])
        yield from (up, failures)


class CameraCollector(Collector):
    """Reads the live cameras' states and counts when Prometheus scrapes."""

    def __init__(self, live: LiveService) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Every metric of every camera."""
        up = GaugeMetricFamily("footage_camera_live", "1 while the camera is live", labels=["camera", "state"])
        age = GaugeMetricFamily("footage_camera_frame_age_seconds", "Seconds since the newest frame", labels=["camera"])
        skew = GaugeMetricFamily(
            "footage_camera_clock_skew_seconds",
            "Seconds by which the camera's clock is ahead of this machine's",
            labels=["camera"],
        )
        counts = {
            name: CounterMetricFamily(f"footage_camera_{name}", text, labels=["camera"])
            for name, text in (
                ("frames_seen", "Frames that the gate compared"),
                ("frames_kept", "Frames embedded"),
                ("frames_dropped", "Frames dropped because the queue was full"),
                ("reconnects", "Reconnections"),
                ("faults", "Failures of the reader itself, each in the log with its trace"),
            )
        }
        for s in self._live.cameras():
            up.add_metric([s.name, s.status.state.value], float(s.status.state.value == "live"))
            if s.status.last_frame:
                age.add_metric([s.name], (datetime.now(UTC) - s.status.last_frame).total_seconds())
            if s.status.skew is not None:
                skew.add_metric([s.name], s.status.skew)
            values = (s.seen, s.kept, s.dropped, s.status.reconnects, s.status.faults)
            for metric, value in zip(counts.values(), values, strict=True):
                metric.add_metric([s.name], value)
        yield CounterMetricFamily(
            "footage_records_fenced",
            "Records dropped because another worker watches their camera now",
            value=self._live.fenced_records,
        )
        load = self._live.load()
        yield from (up, age, skew, *counts.values())
        yield GaugeMetricFamily("footage_embedder_busy", "Share of the last minute spent embedding", value=load.busy)
        sustained = "Number of cameras like the present ones that this machine could serve"
        yield GaugeMetricFamily("footage_cameras_sustained", sustained, value=load.sustained or 0)
