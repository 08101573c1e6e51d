"""Defines the pydantic models of watches, the same on the command line and over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footage.indexer.store.base import Catalog
from footage.query.values.times import Utc
from footage.query.watches import watch as watch_store
from footage.query.watches.alert import Alert, moment_links
from footage.query.watches.backtest import BacktestResult
from footage.query.watches.outbox import delivery_counts
from footage.query.watches.watch import Watch, WatchError

SECRET_PREFIX = "FOOTAGE_WEBHOOK_"  # the name of a variable  # nosec B105
"""Prefix of the environment variables that HTTP clients may name as a key: others must not be usable to sign."""
MAX_ALERTS = 1000
"""Largest number of alerts in the answer of a backtest."""


class WatchIn(BaseModel):
    """A watch to add: it searches for ``text``, or for what looks like an indexed ``frame`` or a ``picture``."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    text: str = Field("", max_length=1000)
    frame: str = Field("", description="id of a frame or region in the index", max_length=200)
    picture: str = Field("", description="an image file (JPEG, PNG, ...) in base64", max_length=900_000)
    cameras: tuple[str, ...] = Field((), description="only these cameras; empty means all")
    hours: str = Field(
        "", description="8-18, or 22-6 over midnight; in the server's time zone", max_length=10, examples=["8-18"]
    )
    days: str = Field("", description="mon-fri, or sat,sun", max_length=40, examples=["mon-fri"])
    cooldown: float = Field(60.0, ge=0, le=604800, description="least seconds between two alerts for one camera")
    threshold: float = Field(0.5, ge=0.01, le=0.999, description="lowest probability of a match that fires")
    webhook: str = Field("", max_length=2000, description="http(s) URL; addresses of private networks are refused")
    secret_env: str = Field(
        "", pattern=rf"^({SECRET_PREFIX}\w+)?$", max_length=100, description="environment variable with the signing key"
    )
    base_url: str = Field("", max_length=500, description="public URL of this service, for absolute links")


class WatchChange(BaseModel):
    """A change of a watch."""

    model_config = ConfigDict(extra="forbid")

    paused: bool


class WatchOut(BaseModel):
    """A watch, and the state of its deliveries."""

    name: str
    text: str
    picture: bool = Field(
        description="whether it searches for what looks like a picture; text is then the picture's name"
    )
    cameras: list[str]
    hours: str
    days: str
    cooldown: float
    threshold: float
    webhook: str = Field(description="scheme, host and port only, because the rest may be secret")
    signed: bool
    paused: bool
    since: Utc
    waiting: int = Field(description="alerts that wait for delivery to the webhook, at most 10,000 of them counted")
    undelivered: int = Field(description="alerts whose delivery was given up")
    error: str = Field(description="why the last of them was not delivered")

    @classmethod
    def of(cls, watch: Watch, deliveries: tuple[int, int, str] = (0, 0, "")) -> WatchOut:
        """Make the JSON model of a watch; ``deliveries`` are waiting, undelivered and the error."""
        fields = watch.model_dump(include=set(cls.model_fields) - {"webhook", "picture", "signed"})
        fields |= {"webhook": watch.webhook_origin, "picture": bool(watch.vector), "signed": bool(watch.secret_env)}
        return cls.model_validate(fields | dict(zip(("waiting", "undelivered", "error"), deliveries, strict=True)))


class WatchesOut(BaseModel):
    """All watches, by name."""

    watches: list[WatchOut]


class FiringOut(BaseModel):
    """A moment for which a watch fires in a backtest."""

    id: str
    camera: str
    start: Utc
    end: Utc
    time: Utc = Field(description="time of the frame at which it fires")
    score: float
    moment: str
    frame: str = Field(description="id of the moment's best frame")
    links: dict[str, str]

    @classmethod
    def of(cls, f: Alert) -> FiringOut:
        """Make the JSON model of an alert."""
        m = f.moment
        fields: dict[str, Any] = {"id": f.id, "camera": m.camera, "start": m.start, "end": m.end, "time": f.time}
        return cls(**fields, score=round(f.score, 4), moment=str(m), frame=str(m.frame), links=moment_links(m))


class FiredOut(BaseModel):
    """The content of an alert, as sent to event streams and webhooks."""

    type: Literal["watch.fired"]
    id: str
    watch: str
    query: str = Field(description="the query of the watch")
    threshold: float
    camera: str
    start: Utc
    time: Utc = Field(description="time of the frame at which it fired")
    score: float
    moment: str
    links: dict[str, str]
    urls: dict[str, str] | None = Field(description="the links as absolute URLs, if the watch has a base_url")


class BacktestOut(BaseModel):
    """The times at which a watch would have fired, and the number of alerts at other thresholds."""

    firings: list[FiringOut]
    counts: dict[str, int] = Field(description="number of alerts by threshold")
    frames: int = Field(description="number of frames evaluated")
    candidates: list[FiringOut] = Field(
        description="what would have fired at a threshold of 0.1 without a cooldown, the surest 1,000, in order of "
        "time: those whose score reaches a threshold are about what it would give"
    )

    @classmethod
    def of(cls, found: BacktestResult) -> BacktestOut:
        """Make the JSON model of a backtest."""
        counts = {f"{t:g}": n for t, n in found.counts.items()}
        surest = sorted(found.candidates, key=lambda f: -f.score)[:MAX_ALERTS]
        return cls(
            firings=[FiringOut.of(f) for f in found.alerts[:MAX_ALERTS]],
            counts=counts,
            frames=found.frames,
            candidates=[FiringOut.of(f) for f in sorted(surest, key=lambda f: (f.time, f.moment.camera))],
        )


async def list_watches(catalog: Catalog) -> list[WatchOut]:
    """All watches, by name."""
    found = (await watch_store.load_watches(catalog)).values()
    deliveries = await delivery_counts(catalog, [w.id for w in found if w.webhook])
    return [WatchOut.of(w, deliveries.get(w.id, (0, 0, ""))) for w in found]


def build_watch(fields: dict[str, Any]) -> Watch:
    """Validate a new watch; raises WatchError with one sentence per invalid field."""
    try:
        return Watch.model_validate(fields)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        texts = (f"{'.'.join(map(str, e['loc'])) or 'watch'}: {e['msg'].removeprefix('Value error, ')}" for e in faults)
        raise WatchError("; ".join(texts)) from None
