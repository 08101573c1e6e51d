"""What an export tells of itself: its moments, files and sums, and what was proved."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from footage.query.clips.clip import Clip
from footage.query.clips.verify import Proof
from footage.query.values.ids import MOMENT, MomentId
from footage.query.values.times import Utc, iso

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
PAGE = "index.html"

CHECK = (
    f"unpack, then in the folder: sha256sum -c {SUMS} (macOS: shasum -a 256 -c {SUMS}; "
    "Windows: Get-FileHash FILE in PowerShell)"
)
METHOD = (
    "each finished clip was opened again and decoded; its frame at best_frame.offset_ms was compared with the picture "
    "of that time cut from the footage: best_frame.found says whether they are the same"
)


Id = Annotated[str, Field(max_length=200, json_schema_extra={"pattern": f"^{MOMENT}$"})]
"""A moment's id; what is wrong with one, ``MomentId.parse`` tells better than a pattern."""


class Wanted(BaseModel):
    """A moment to export, as an answer has it; only its id is needed."""

    model_config = ConfigDict(extra="ignore")

    id: Id
    score: float | None = Field(default=None, ge=0, le=1)


class FileOut(BaseModel):
    """A file of the export."""

    name: str
    bytes: int
    sha256: str


class ClipFile(FileOut):
    """A clip: what was asked for and what it shows. A copied clip starts at the keyframe before."""

    requested_start: Utc
    requested_end: Utc
    start: Utc
    end: Utc
    precise: bool
    gaps: list[tuple[Utc, Utc]]

    @classmethod
    def of(cls, file: FileOut, clip: Clip) -> Self:
        """The clip in a written file."""
        return cls(
            **file.model_dump(),
            requested_start=clip.requested_start,
            requested_end=clip.requested_end,
            start=clip.start,
            end=clip.end,
            precise=clip.precise,
            gaps=list(clip.gaps),
        )


class MediaOut(BaseModel):
    """Where the best frame is in the footage."""

    id: str
    offset: float = Field(description="seconds from the media's first frame")


State = Literal["proved", "unproved", "photograph", "missing"]
"""Proved: the clip shows the best frame. Unproved: it does not. Photograph: there is a picture but can be no clip.
Missing: there is no clip, for the ``reason``."""


class Row(BaseModel):
    """A moment of an export. Times are UTC."""

    id: str
    camera: str
    start: Utc
    end: Utc
    best: Utc
    score: float | None
    clock: str | None = Field(
        default=None, description="where the times came from; null when its media is not known any more"
    )
    state: State = "missing"
    reason: str = ""
    media: MediaOut | None = None
    clip: ClipFile | None = None
    picture: FileOut | None = None
    best_frame: Proof | None = None

    @classmethod
    def of(cls, moment: MomentId, score: float | None) -> Self:
        """What the id says; nothing exported yet."""
        return cls(
            id=str(moment),
            camera=moment.camera,
            start=moment.start,
            end=moment.end,
            best=moment.best,
            score=score,
        )


class Manifest(BaseModel):
    """What ``manifest.json`` holds."""

    footage: str = Field(default_factory=lambda: version("footage"), description="the version that made it")
    made_at: Utc
    query: str = Field(description="the question that found the moments, if it was told")
    filters: dict[str, JsonValue]
    time_zone: str = Field(description="of the machine that made it, in which the page shows times; here all are UTC")
    pad: float = Field(description="seconds before and after each moment")
    precise: bool
    check: str = CHECK
    proof: str = METHOD
    counts: dict[str, int] = Field(description="moments of each state")
    moments: list[Row]
    files: list[FileOut] = Field(description="files that belong to no moment")


def stem(number: int, of: int, camera: str, start: datetime) -> str:
    """A file's name without its ending: safe on every system, and in order of ``number``.

    Args:
        number: from 1.
        of: how many there are.
        start: UTC.
    """
    safe = re.sub(r"[^\w.-]", "_", unicodedata.normalize("NFC", camera))
    safe = safe.encode()[:120].decode(errors="ignore")  # most file systems end a name at 255 bytes
    time = re.sub(r"[:-]", "", iso(start.replace(microsecond=0)))
    return f"{number:0{max(3, len(str(of)))}}_{safe}_{time}"


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, up: rounded down, they would lie before the frame and show the one before it."""
    return math.ceil(round(seconds * 1000, 2))


def zone(now: datetime) -> str:
    """This machine's zone: ``UTC+02:00 (CEST)``."""
    local = now.astimezone()
    offset = local.utcoffset() or timedelta()
    name = local.tzname() or ""
    sign, minutes = "-" if offset < timedelta() else "+", abs(offset) // timedelta(minutes=1)
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}" + (f" ({name})" if name.isalpha() else "")
