"""What is asked and what is answered: the same shapes on the command line and over HTTP."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer

from indexer.store.base import Coverage
from query.ids import MomentId
from query.moments import Moment
from query.schedule import Schedule
from query.terms import Term, written


def iso(time: datetime) -> str:
    """ISO 8601 in UTC with microseconds where there are any, ending in Z."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


Utc = Annotated[datetime, PlainSerializer(iso, return_type=str)]
"""UTC, written as ISO 8601 with Z."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for.

    Attributes:
        terms: words and pictures, wanted and not wanted; ``query.terms.said`` makes them of a sentence.
        cameras: only these; empty means all.
        start, end: only between these UTC times, half-open.
        limit: at most this many moments.
        schedule: only in these hours, on these days.
        sort: the surest first, or the newest.
        after: ``next`` of the answer before, for the page that follows.
    """

    terms: tuple[Term, ...]
    cameras: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 10
    schedule: Schedule = field(default_factory=Schedule)
    sort: Literal["score", "time"] = "score"
    after: str = ""

    @property
    def mark(self) -> bytes:
        """What tells it from other questions; times and limit do not, since pages carry them on."""
        pictures = b"".join(hashlib.blake2b(t.picture.tobytes()).digest() for t in self.terms if t.picture is not None)
        return repr((written(self.terms), sorted(self.cameras), self.schedule, self.sort)).encode() + pictures


class BestOut(BaseModel):
    """The frame of a moment that matches best; ``frame`` is its id."""

    time: Utc
    frame: str


class MomentOut(BaseModel):
    """A moment: one camera, from when to when, and how sure. ``score`` is the probability of a match."""

    id: str
    camera: str
    start: Utc
    end: Utc
    score: float = Field(ge=0, le=1)
    best: BestOut
    clock: str = Field(description="where the times came from: given, rtcp, container, arrival or mtime")

    @classmethod
    def of(cls, m: Moment) -> MomentOut:
        """The outer shape of a moment."""
        name = MomentId(m.camera, m.start, m.end, m.best, m.region)
        return cls(
            id=str(name),
            camera=m.camera,
            start=m.start,
            end=m.end,
            score=round(m.score, 4),
            best=BestOut(time=m.best, frame=str(name.frame)),
            clock=m.clock.value,
        )


class CoverageOut(BaseModel):
    """A span in which a camera was watched, or was not and why."""

    camera: str
    start: Utc
    end: Utc
    state: str = Field(description="watched or gap")
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Attributes:
        moments: in the order that was asked for.
        near: what came nearest when there are none.
        coverage: what of the asked time was watched.
        next: where the next page begins; empty when this is the last one.
    """

    moments: list[Moment]
    near: list[Moment]
    coverage: list[Coverage]
    next: str = ""


class AnswerOut(BaseModel):
    """Moments; which of the asked time was really indexed; and what came nearest when nothing was found."""

    query: str = Field(description="the question, as the command line would write it")
    moments: list[MomentOut]
    coverage: list[CoverageOut]
    near_misses: list[MomentOut]
    next: str | None = Field(description="the parameter 'after' of the next page; null on the last one")

    @classmethod
    def of(cls, question: Question, answer: Answer) -> AnswerOut:
        """The outer shape of an answer."""
        return cls(
            query=written(question.terms),
            moments=[MomentOut.of(m) for m in answer.moments],
            near_misses=[MomentOut.of(m) for m in answer.near],
            coverage=[
                CoverageOut(camera=c.camera, start=c.start, end=c.end, state=c.state.value, cause=c.cause)
                for c in answer.coverage
            ],
            next=answer.next or None,
        )


class MomentInfo(BaseModel):
    """What a moment's id says, and whether its footage is still there."""

    id: str
    camera: str
    start: str
    end: str
    best: str
    frame: str
    footage: bool = Field(description="a picture and a clip can still be cut")


class LiveOut(BaseModel):
    """A live camera now."""

    state: str = Field(description="connecting, live, stalled, backing off or stopped")
    since: Utc
    error: str = Field(description="why the last connection ended; empty while all is well")
    last_frame: Utc | None
    last_packet: Utc | None
    reconnects: int
    dropped: int = Field(description="frames dropped for want of room")
    rate: float = Field(description="frames looked at a second")
    seen: int = Field(description="frames looked at")
    kept: int = Field(description="frames embedded, because something had changed or it was time")
    recording: str
    worker: str = Field("", description="the service that watches it, where several share the cameras")
    clock: str
    skew: float | None = Field(description="seconds by which the camera's clock is ahead of this machine's")
    codec: str
    width: int
    height: int
    fps: float | None


class LoadOut(BaseModel):
    """How busy the machine is with live cameras."""

    busy: float = Field(description="share of the last minute in which something was being embedded")
    sustained: int | None = Field(description="cameras like the present ones that this machine could serve")
    dropped: int = Field(description="frames dropped in the last minute for want of room")


class CameraOut(BaseModel):
    """What is held of one camera, and what it does now if it is live."""

    camera: str
    media: int = Field(description="files and recorded segments")
    records: int = Field(description="vectors")
    start: Utc | None
    end: Utc | None
    clocks: list[str]
    live: LiveOut | None = None


class CamerasOut(BaseModel):
    """Every camera, by name."""

    cameras: list[CameraOut]
    load: LoadOut | None = None


class ErrorOut(BaseModel):
    """The one shape of every error."""

    ok: bool = False
    error: str
    hint: str = ""
    status: int
