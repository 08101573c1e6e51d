"""What is asked and what is answered: the same shapes on the command line and over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer

from indexer.store.base import Coverage
from query.ids import MomentId
from query.moments import Moment
from query.schedule import Schedule
from query.sequence import Pair
from query.terms import Term, written


def iso(time: datetime) -> str:
    """ISO 8601 in UTC with microseconds where there are any, ending in Z."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


Utc = Annotated[datetime, PlainSerializer(iso, return_type=str)]
"""UTC, written as ISO 8601 with Z."""


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done with the moments once they are found.

    Attributes:
        refine: look for their edges in the footage.
        fold: let one stand for all of its camera that look like it.
        only: of all moments that every record makes, the first, the last, or how many there are.
        then: what has to follow; the answer is pairs.
        within: at most so long after the end of the first.
        then_cameras: where it has to follow; empty means on the question's cameras.

    Raises:
        ValueError: they do not go together.
    """

    refine: bool = False
    fold: bool = False
    only: Literal["", "first", "last", "count"] = ""
    then: tuple[Term, ...] = ()
    within: timedelta = timedelta(seconds=10)
    then_cameras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.then and (self.fold or self.only):
            raise ValueError("then: cannot be asked together with fold, first, last or count")
        if self.only and self.fold:
            raise ValueError(f"fold: '{self.only}' counts every moment for itself; ask without fold")
        if self.then_cameras and not self.then:
            raise ValueError("then_camera: say with 'then' what should follow there")


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
        finish: what is done with the moments once they are found.
    """

    terms: tuple[Term, ...]
    cameras: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 10
    schedule: Schedule = field(default_factory=Schedule)
    sort: Literal["score", "time"] = "score"
    after: str = ""
    finish: Finish = field(default_factory=Finish)

    @property
    def pictures(self) -> bool:
        """Whether any term is a picture, sent or of the index."""
        return any(term.picture is not None or term.frame is not None for term in self.terms)

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
    refined: bool = Field(description="start and end were found in the footage, to 0.2 s")
    count: int = Field(description="moments that this one stands for, itself included")
    others: list[str] = Field(description="ids of the others that look like it")

    @classmethod
    def of(cls, m: Moment, refined: bool = False, others: Sequence[Moment] = ()) -> MomentOut:
        """The outer shape of a moment."""
        name = _name(m)
        return cls(
            id=str(name),
            camera=m.camera,
            start=m.start,
            end=m.end,
            score=round(m.score, 4),
            best=BestOut(time=m.best, frame=str(name.frame)),
            clock=m.clock.value,
            refined=refined,
            count=1 + len(others),
            others=[str(_name(one)) for one in others],
        )


class PairOut(BaseModel):
    """One thing, then another. ``score`` is the probability that both match."""

    first: MomentOut
    then: MomentOut
    score: float = Field(ge=0, le=1)
    gap: float = Field(description="seconds from the end of the first to the start of the second; below 0: overlap")
    clocks: str = Field(description="where the times of the two came from: a gap is no surer than they are")

    @classmethod
    def of(cls, pair: Pair, refined: frozenset[Moment]) -> PairOut:
        """The outer shape of a pair."""
        first, then = (MomentOut.of(m, m in refined) for m in (pair.first, pair.then))
        clocks = " and ".join(dict.fromkeys((first.clock, then.clock)))
        return cls(first=first, then=then, score=round(pair.score, 4), gap=round(pair.gap, 3), clocks=clocks)


def _name(m: Moment) -> MomentId:
    return MomentId(m.camera, m.start, m.end, m.best, m.region)


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
        refined: those whose edges were found in the footage.
        others: what a moment stands for besides itself.
        pairs: one thing, then another.
        count: how many moments there are, if that was asked.
        looked: records that were looked at, where it was every one.
        complete: whether nothing more can match than what this and the following pages show.
    """

    moments: list[Moment]
    near: list[Moment]
    coverage: list[Coverage]
    next: str = ""
    refined: frozenset[Moment] = frozenset()
    others: Mapping[Moment, Sequence[Moment]] = field(default_factory=dict)
    pairs: Sequence[Pair] = ()
    count: int | None = None
    looked: int | None = None
    complete: bool = True


class AnswerOut(BaseModel):
    """Moments; which of the asked time was really indexed; and what came nearest when nothing was found."""

    query: str = Field(description="the question, as the command line would write it")
    moments: list[MomentOut]
    coverage: list[CoverageOut]
    near_misses: list[MomentOut]
    next: str | None = Field(description="the parameter 'after' of the next page; null on the last one")
    pairs: list[PairOut] = Field(description="one thing, then another, the surest first")
    count: int | None = Field(description="how many moments there are, if that was asked")
    looked: int | None = Field(description="records that were looked at, where it was every one of the filter")
    complete: bool = Field(
        True, description="false where more may match than the 8,192 nearest records lead to; count looks at all"
    )

    @classmethod
    def of(cls, question: Question, answer: Answer) -> AnswerOut:
        """The outer shape of an answer."""
        return cls(
            query=written(question.terms),
            moments=[MomentOut.of(m, m in answer.refined, answer.others.get(m, ())) for m in answer.moments],
            near_misses=[MomentOut.of(m) for m in answer.near],
            coverage=[
                CoverageOut(camera=c.camera, start=c.start, end=c.end, state=c.state.value, cause=c.cause)
                for c in answer.coverage
            ],
            next=answer.next or None,
            pairs=[PairOut.of(p, answer.refined) for p in answer.pairs],
            count=answer.count,
            looked=answer.looked,
            complete=answer.complete,
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
