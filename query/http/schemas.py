"""Pydantic models of the answers: the same on the command line and over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field, JsonValue

from footage.query.moments.sequence import Pair
from footage.query.scoring.expression import written
from footage.query.search.question import Answer, Question
from footage.query.values.ids import MomentId
from footage.query.values.moment import Moment
from footage.query.values.times import Utc


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


class EntryOut(BaseModel):
    """One request."""

    time: Utc
    who: str = Field(description="whose token; 'local' without one, 'FOOTAGE_TOKEN' with that of the settings")
    what: str = Field(description="the operation, as in /openapi.json")
    asked: dict[str, JsonValue] = Field(description="what was given and is not the default")
    found: int | None = Field(description="how many moments or firings; null where it was refused")
    status: int = Field(description="200, or 403 where it was refused")


class AuditOut(BaseModel):
    """Requests, newest first."""

    entries: list[EntryOut]
