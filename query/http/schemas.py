"""Defines the pydantic models of the JSON answers, the same on the command line and over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from footage.query.moments.reviews import Mark, Review
from footage.query.moments.sequence import Pair
from footage.query.scoring.expression import format_query
from footage.query.search.question import Answer, Question
from footage.query.values.ids import MomentId
from footage.query.values.moment import Moment
from footage.query.values.times import Utc


class BestOut(BaseModel):
    """The best-matching frame of a moment; ``frame`` is its id."""

    time: Utc
    frame: str


class MarkOut(BaseModel):
    """What somebody decided about a moment."""

    mark: Literal["keep", "dismiss"]
    note: str
    query: str = Field(description="the question under which it was decided, if that was said")
    by: str = Field(description="name of the token; 'local' without one")
    at: Utc

    @classmethod
    def of(cls, mark: Mark | None) -> MarkOut | None:
        """Make the JSON model of a mark."""
        return cls.model_validate(mark.model_dump(exclude={"moment"})) if mark else None


class MomentOut(BaseModel):
    """A time span of one camera that matches; ``score`` is the probability of a match."""

    id: str
    camera: str
    start: Utc
    end: Utc
    score: float = Field(ge=0, le=1)
    best: BestOut
    clock: str = Field(description="source of the times: given, rtcp, container, name, arrival or mtime")
    refined: bool = Field(description="whether start and end were found in the footage, exact to 0.2 s")
    count: int = Field(description="number of similar moments merged into this one, itself included")
    others: list[str] = Field(description="ids of the other merged moments")
    missing: str = Field(description="why there is no picture of it, where the index knows; else empty")
    mark: MarkOut | None = Field(description="what was decided about it; null: nothing")
    exported: bool = Field(description="whether it was exported")

    @classmethod
    def of(
        cls,
        m: Moment,
        refined: bool = False,
        others: Sequence[Moment] = (),
        missing: str = "",
        review: Review | None = None,
    ) -> MomentOut:
        """Make the JSON model of a moment."""
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
            missing=missing,
            mark=MarkOut.of(review.mark) if review else None,
            exported=bool(review and review.exported),
        )

    @classmethod
    def from_answer(cls, m: Moment, answer: Answer) -> MomentOut:
        """Make the JSON model of a moment of an answer."""
        missing, review = answer.missing.get(m, ""), answer.reviews.get(m)
        return cls.of(m, m in answer.refined, answer.others.get(m, ()), missing, review)


class PairOut(BaseModel):
    """A moment followed by another one; ``score`` is the probability that both match."""

    first: MomentOut
    then: MomentOut
    score: float = Field(ge=0, le=1)
    gap: float = Field(
        description="seconds from the end of the first to the start of the second; negative if they overlap"
    )
    clocks: str = Field(description="sources of the times of both; the gap is only as accurate as they are")

    @classmethod
    def of(cls, pair: Pair, answer: Answer) -> PairOut:
        """Make the JSON model of a pair."""
        first, then = (MomentOut.from_answer(m, answer) for m in (pair.first, pair.then))
        clocks = " and ".join(dict.fromkeys((first.clock, then.clock)))
        return cls(first=first, then=then, score=round(pair.score, 4), gap=round(pair.gap, 3), clocks=clocks)


def _name(m: Moment) -> MomentId:
    return MomentId(m.camera, m.start, m.end, m.best, m.region)


class CoverageOut(BaseModel):
    """A span in which a camera was indexed (watched), or was not (gap), with the cause."""

    camera: str
    start: Utc
    end: Utc
    state: str = Field(description="watched or gap")
    cause: str = ""


class AnswerOut(BaseModel):
    """Matching moments, the coverage of the requested time, and near misses if nothing matched."""

    query: str = Field(description="the query, in the syntax of the command line")
    moments: list[MomentOut]
    coverage: list[CoverageOut]
    near_misses: list[MomentOut]
    next: str | None = Field(description="the parameter 'after' of the next page; null on the last page")
    pairs: list[PairOut] = Field(description="pairs of a search with 'then', best score first")
    count: int | None = Field(description="number of matching moments, if only=count")
    looked: int | None = Field(description="number of records scanned, if every record was scanned")
    complete: bool = Field(
        True,
        description="false if more moments may match than the 8,192 nearest records reach (only=count scans all), or "
        "if the index is damaged",
    )
    problem: str = Field(
        default="", description="what is wrong with the index, and how to repair it; empty when nothing is"
    )

    @classmethod
    def of(cls, question: Question, answer: Answer) -> AnswerOut:
        """Make the JSON model of an answer."""
        return cls(
            query=format_query(question.terms),
            moments=[MomentOut.from_answer(m, answer) for m in answer.moments],
            near_misses=[MomentOut.from_answer(m, answer) for m in answer.near],
            coverage=[
                CoverageOut(camera=c.camera, start=c.start, end=c.end, state=c.state.value, cause=c.cause)
                for c in answer.coverage
            ],
            next=answer.next or None,
            pairs=[PairOut.of(p, answer) for p in answer.pairs],
            count=answer.count,
            looked=answer.looked,
            complete=answer.complete,
            problem=answer.problem,
        )


class MomentInfo(BaseModel):
    """The content of a moment's id, and whether its footage still exists."""

    id: str
    camera: str
    start: str
    end: str
    best: str
    frame: str
    footage: bool = Field(description="whether a picture and a clip can still be extracted")
    missing: str = Field(description="why not; empty where they can")
    codec: str = Field("", description="codec of the footage, like h264 or hevc; empty where it is not known")
    playable: bool = Field(True, description="whether browsers play the clip as it is; else ask for it with play=1")
    clock: str = Field("", description="source of the times, as in a search's answer; empty where it is not known")
    mark: MarkOut | None = Field(None, description="what was decided about it; null: nothing")
    exported: bool = Field(False, description="whether it was exported")


class LiveOut(BaseModel):
    """The present status of a live camera."""

    state: str = Field(description="connecting, live, stalled, backing off, stopped or misconfigured")
    since: Utc
    error: str = Field(description="why the last connection ended; empty while the camera is live")
    last_frame: Utc | None
    last_packet: Utc | None
    reconnects: int
    dropped: int = Field(description="frames dropped because the queue was full")
    rate: float = Field(description="frames compared per second")
    seen: int = Field(description="frames compared by the gate")
    kept: int = Field(description="frames embedded, because something changed or the longest gap was reached")
    recording: str
    worker: str = Field("", description="the worker that reads the camera, if several share the cameras")
    clock: str
    skew: float | None = Field(description="seconds by which the camera's clock is ahead of this machine's")
    codec: str
    width: int
    height: int
    fps: float | None


class LoadOut(BaseModel):
    """The load of the machine by live cameras."""

    busy: float = Field(description="share of the last minute spent embedding, 0 to 1")
    sustained: int | None = Field(
        description="cameras like the present ones that this machine could serve, by its embedder and processors"
    )
    dropped: int = Field(description="frames dropped in the last minute because the queue was full")


class CameraOut(BaseModel):
    """What is indexed of a camera, and its status if it is live."""

    camera: str
    media: int = Field(description="number of files and recorded segments")
    records: int = Field(description="number of vectors")
    start: Utc | None
    end: Utc | None
    clocks: list[str]
    refused: int = Field(0, description="records that the store refused for good, set aside on this machine")
    live: LiveOut | None = None


class StageOut(BaseModel):
    """A part of the service that runs in the background and died."""

    stage: str
    camera: str = Field(description="the camera that it is about; empty for all")
    state: str = Field(description="restarting; or failed: then the service ends")
    error: str
    since: Utc


class CamerasOut(BaseModel):
    """All cameras, by name."""

    cameras: list[CameraOut]
    load: LoadOut | None = None
    problem: str = Field(
        default="", description="what is wrong with the index, and how to repair it; empty when nothing is"
    )
    failing: list[StageOut] = Field(default_factory=list, description="parts of the service that died")


class ErrorOut(BaseModel):
    """The shape of every error."""

    ok: bool = False
    error: str
    hint: str = ""
    status: int


class EntryOut(BaseModel):
    """An entry of the audit log: one request."""

    time: Utc
    who: str = Field(
        description="name of the token; 'local' without a token, 'FOOTAGE_TOKEN' for the token of the settings"
    )
    what: str = Field(description="operation id, as in /openapi.json")
    asked: dict[str, JsonValue] = Field(description="parameters that differ from their defaults")
    found: int | None = Field(description="number of moments or alerts; null if refused")
    status: int = Field(description="200, or 403 if refused")


class AuditOut(BaseModel):
    """Entries of the audit log, newest first."""

    entries: list[EntryOut]
