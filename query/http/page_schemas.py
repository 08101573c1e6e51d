"""Defines the pydantic models of what the review page asks for besides searches and watches."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from footage.query.http.schemas import CoverageOut, MarkOut
from footage.query.moments.reviews import Mark
from footage.query.values.times import Utc

State = Literal["starting", "other_model", "failed", "ready"]
"""Whether the service answers searches, and if not, why."""


class SessionOut(BaseModel):
    """Who asks, and what they may do."""

    name: str = Field(description="name of the token; 'local' where none is needed")
    role: Literal["view", "review", "admin"]
    cameras: list[str] = Field(description="the only cameras that are visible; empty means all")
    token_needed: bool = Field(description="whether requests need a token")
    expires: Utc | None = Field(description="when the session in the cookie ends; null without one")


class StatusOut(BaseModel):
    """The service and its index."""

    version: str
    state: State = Field(
        description="ready: searches are answered, also while nothing is indexed; starting: the model is being fetched "
        "or loaded; other_model: the index was made with another model than this service has; failed: the service "
        "could not start and ends"
    )
    model: str = Field(description="the model and why it was chosen, in one line; empty while it is being fetched")
    space: str = Field(description="the space of the index's vectors; empty if it has none yet")
    zone: str = Field(
        description="time zone of the server, in which hours and days are meant: Europe/Berlin, or +02:00"
    )
    records: int = Field(description="number of records of the visible cameras")
    cameras: int = Field(description="number of visible cameras that are indexed or live")
    problem: str = Field("", description="what is wrong; empty when nothing is")
    hint: str = Field("", description="what to do about it")


class CoverageAnswerOut(BaseModel):
    """Which time was watched, by camera and time."""

    coverage: list[CoverageOut]
    resolution: float = Field(description="seconds; shorter spans were joined to what most of their surroundings is")


class FrameOut(BaseModel):
    """A time at which a camera has an indexed frame."""

    id: str
    camera: str
    time: Utc
    region: bool = Field(description="whether a moving region was indexed too")


class FramesOut(BaseModel):
    """Indexed frames, by time and camera."""

    frames: list[FrameOut]


class MarkedOut(MarkOut):
    """A mark with its moment."""

    moment: str
    camera: str
    start: Utc
    end: Utc
    best: Utc

    @classmethod
    def of_mark(cls, mark: Mark) -> MarkedOut:
        """Make the JSON model of a mark with its moment."""
        m = mark.moment_id
        spans = {"camera": m.camera, "start": m.start, "end": m.end, "best": m.best}
        return cls.model_validate(mark.model_dump() | spans)


class MarksOut(BaseModel):
    """Marks, by time of the best frame."""

    marks: list[MarkedOut]
    complete: bool = Field(description="false if there are more; ask for a shorter time")


class MomentMarkOut(BaseModel):
    """The mark that a moment has now."""

    moment: str
    mark: MarkOut | None


class ShareOut(BaseModel):
    """A share. ``url`` is told once, when it is made."""

    id: str
    url: str | None = Field(description="path of the link; null except in the answer that made it")
    moment: str
    camera: str
    start: Utc
    end: Utc
    expires: Utc
    note: str
    by: str
    at: Utc


class SharesOut(BaseModel):
    """Shares that have not expired, the newest first."""

    shares: list[ShareOut]


class SharedOut(BaseModel):
    """What the page of a link says of its moment."""

    camera: str
    start: Utc
    end: Utc
    best: Utc
    expires: Utc


class ChangedCameraOut(BaseModel):
    """A camera or folder that was added or removed."""

    camera: str
    kind: Literal["camera", "folder"]


class RemovedCameraOut(BaseModel):
    """A camera that is no longer read; what is indexed of it stays."""

    camera: str
