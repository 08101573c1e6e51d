"""What is told of watches: the same shapes on the command line and over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from footage.indexer.store.base import Catalog
from footage.query.values.times import Utc
from footage.query.watches import watch as kept
from footage.query.watches.alert import Firing, links
from footage.query.watches.backtest import Backtest
from footage.query.watches.watch import Watch, WatchError
from footage.query.watches.webhook import waiting

SECRETS = "FOOTAGE_WEBHOOK_"
"""Over HTTP a key is named only among the variables that begin so: no other one of the service may sign."""
MOST = 1000
"""Firings that a back-test answers at most."""


class WatchIn(BaseModel):
    """A watch to add: ``text``, or more like a ``frame`` of the index (by its id) or a ``picture``."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    text: str = Field("", max_length=1000)
    frame: str = Field("", description="id of a frame or region that is in the index", max_length=200)
    picture: str = Field("", description="a photograph's file (JPEG, PNG, ...) in base64", max_length=900_000)
    cameras: tuple[str, ...] = Field((), description="only these; none means all")
    hours: str = Field(
        "", description="8-18, or 22-6 for over midnight; in the server's zone", max_length=10, examples=["8-18"]
    )
    days: str = Field("", description="mon-fri, or sat,sun", max_length=40, examples=["mon-fri"])
    cooldown: float = Field(60.0, ge=0, le=604800, description="seconds between two firings for one camera, at least")
    threshold: float = Field(0.5, ge=0.01, le=0.999, description="least probability of a match that fires")
    webhook: str = Field("", max_length=2000, description="http(s) address; one of a private network is refused here")
    secret_env: str = Field("", pattern=rf"^({SECRETS}\w+)?$", max_length=100, description="variable with the key")
    base_url: str = Field("", max_length=500, description="where this service is reached from, for absolute links")


class WatchChange(BaseModel):
    """What can be changed of a watch."""

    model_config = ConfigDict(extra="forbid")

    paused: bool


class WatchOut(BaseModel):
    """A watch, and how its deliveries go."""

    name: str
    text: str
    picture: bool = Field(description="it looks for more like a picture; text is what that is called")
    cameras: list[str]
    hours: str
    days: str
    cooldown: float
    threshold: float
    webhook: str = Field(description="scheme, host and port alone: the rest may be secret")
    signed: bool
    paused: bool
    since: Utc
    waiting: int = Field(description="firings on their way to the webhook")
    undelivered: int = Field(description="firings that were given up")
    error: str = Field(description="why the last of these was not delivered")

    @classmethod
    def of(cls, watch: Watch, letters: tuple[int, int, str] = (0, 0, "")) -> WatchOut:
        """The outer shape of a watch."""
        told = watch.model_dump(include=set(cls.model_fields) - {"webhook", "picture", "signed"})
        told |= {"webhook": watch.target, "picture": bool(watch.vector), "signed": bool(watch.secret_env)}
        return cls.model_validate(told | dict(zip(("waiting", "undelivered", "error"), letters, strict=True)))


class WatchesOut(BaseModel):
    """Every watch, by name."""

    watches: list[WatchOut]


class FiringOut(BaseModel):
    """A moment for which a watch fires."""

    id: str
    camera: str
    start: Utc
    end: Utc
    time: Utc = Field(description="of the frame at which it fires")
    score: float
    moment: str
    links: dict[str, str]

    @classmethod
    def of(cls, f: Firing) -> FiringOut:
        """The outer shape of a firing."""
        m = f.moment
        told: dict[str, Any] = {"id": f.id, "camera": m.camera, "start": m.start, "end": m.end, "time": f.time}
        return cls(**told, score=round(f.score, 4), moment=str(m), links=links(m))


class FiredOut(BaseModel):
    """What listeners and webhooks are told of a firing."""

    type: Literal["watch.fired"]
    id: str
    watch: str
    query: str = Field(description="what it looks for")
    threshold: float
    camera: str
    start: Utc
    time: Utc = Field(description="of the frame at which it fired")
    score: float
    moment: str
    links: dict[str, str]
    urls: dict[str, str] | None = Field(description="the links as addresses, where the watch has a base_url")


class BacktestOut(BaseModel):
    """When a watch would have fired, and how often at other thresholds."""

    firings: list[FiringOut]
    counts: dict[str, int] = Field(description="firings by threshold")
    frames: int = Field(description="frames that were looked at")

    @classmethod
    def of(cls, found: Backtest) -> BacktestOut:
        """The outer shape of a back-test."""
        counts = {f"{t:g}": n for t, n in found.counts.items()}
        return cls(firings=[FiringOut.of(f) for f in found.firings[:MOST]], counts=counts, frames=found.frames)


async def listed(catalog: Catalog) -> list[WatchOut]:
    """Every watch, by name."""
    letters = await waiting(catalog)
    return [WatchOut.of(w, letters.get(w.id, (0, 0, ""))) for w in (await kept.watches(catalog)).values()]


def made(fields: dict[str, Any]) -> Watch:
    """A new watch; raises WatchError with a sentence a field."""
    try:
        return Watch.model_validate(fields)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)
        texts = (f"{'.'.join(map(str, e['loc'])) or 'watch'}: {e['msg'].removeprefix('Value error, ')}" for e in told)
        raise WatchError("; ".join(texts)) from None
