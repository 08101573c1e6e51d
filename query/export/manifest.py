"""Models of an export's manifest: its moments, files, checksums, and which clips were verified."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from footage.query.clips.clip import Clip
from footage.query.clips.verify import Verification
from footage.query.moments.reviews import Mark
from footage.query.values.ids import MOMENT_PATTERN, MomentId
from footage.query.values.times import Utc, format_time

CHECKSUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
INDEX_PAGE = "index.html"

CHECK_INSTRUCTIONS = (
    f"unpack, then in the folder: sha256sum -c {CHECKSUMS} (macOS: shasum -a 256 -c {CHECKSUMS}; "
    "Windows: Get-FileHash FILE in PowerShell)"
)
PROOF_METHOD = (
    "each finished clip was opened again and decoded; its frame at best_frame.offset_ms was compared with the picture "
    "of that time cut from the footage: best_frame.found says whether they are the same"
)


MomentIdText = Annotated[str, Field(max_length=200, json_schema_extra={"pattern": f"^{MOMENT_PATTERN}$"})]
"""The id of a moment; ``MomentId.parse`` checks it, as its messages say more than a pattern's."""


class Wanted(BaseModel):
    """A moment to export, as a search answers it; only its id is required."""

    model_config = ConfigDict(extra="ignore")

    id: MomentIdText
    score: float | None = Field(default=None, ge=0, le=1)


class FileOut(BaseModel):
    """A file of the export."""

    name: str
    bytes: int
    sha256: str


class ClipFile(FileOut):
    """A clip: the span that was asked for and the span that it shows. A copied clip starts at the keyframe before."""

    requested_start: Utc
    requested_end: Utc
    start: Utc
    end: Utc
    precise: bool
    gaps: list[tuple[Utc, Utc]]

    @classmethod
    def of(cls, file: FileOut, clip: Clip) -> Self:
        """Describes a clip that was written to ``file``."""
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
    """The position of the best frame in the footage."""

    id: str
    offset: float = Field(description="seconds from the media's first frame")


ExportState = Literal["proved", "unproved", "photograph", "missing"]
"""Proved: the clip shows the best frame. Unproved: it does not. Photograph: it has a picture and cannot have a clip.
Missing: it has no clip; ``reason`` says why."""


class ExportedMoment(BaseModel):
    """A moment in the manifest. Times are UTC."""

    id: str
    camera: str
    start: Utc
    end: Utc
    best: Utc
    score: float | None
    clock: str | None = Field(
        default=None, description="source of the times; null when its media is no longer in the index"
    )
    state: ExportState = "missing"
    reason: str = ""
    media: MediaOut | None = None
    clip: ClipFile | None = None
    picture: FileOut | None = None
    best_frame: Verification | None = None
    mark: Mark | None = Field(None, description="what was decided about its event, by whom and when; null: nothing")

    @classmethod
    def of(cls, moment: MomentId, score: float | None, mark: Mark | None = None) -> Self:
        """Makes a row from the moment's id alone, before anything is exported."""
        return cls(
            id=str(moment),
            camera=moment.camera,
            start=moment.start,
            end=moment.end,
            best=moment.best,
            score=score,
            mark=mark,
        )


class Manifest(BaseModel):
    """The content of ``manifest.json``."""

    footage: str = Field(default_factory=lambda: version("footage"), description="version of Footage that made it")
    made_at: Utc
    query: str = Field(description="query that found the moments, if it was given")
    filters: dict[str, JsonValue]
    time_zone: str = Field(
        description="time zone of the machine that made it, in which the page shows times; times here are UTC"
    )
    pad: float = Field(description="seconds before and after each moment")
    precise: bool
    check: str = CHECK_INSTRUCTIONS
    proof: str = PROOF_METHOD
    counts: dict[str, int] = Field(description="number of moments in each state")
    moments: list[ExportedMoment]
    files: list[FileOut] = Field(description="files that belong to no moment")


def file_stem(number: int, of: int, camera: str, start: datetime) -> str:
    """Returns a file's name without its suffix: valid on every system, and sorted by ``number``.

    Args:
        number: counts from 1.
        of: the total number of moments.
        start: UTC.
    """
    safe = re.sub(r"[^\w.-]", "_", unicodedata.normalize("NFC", camera))
    safe = safe.encode()[:120].decode(errors="ignore")  # most file systems end a name at 255 bytes
    time = re.sub(r"[:-]", "", format_time(start.replace(microsecond=0)))
    return f"{number:0{max(3, len(str(of)))}}_{safe}_{time}"


def ceil_milliseconds(seconds: float) -> int:
    """Rounds up to whole milliseconds: rounded down, they would point to the frame before."""
    return math.ceil(round(seconds * 1000, 2))


def describe_time_zone(now: datetime) -> str:
    """Returns this machine's time zone, such as ``UTC+02:00 (CEST)``."""
    local = now.astimezone()
    offset = local.utcoffset() or timedelta()
    name = local.tzname() or ""
    sign, minutes = "-" if offset < timedelta() else "+", abs(offset) // timedelta(minutes=1)
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}" + (f" ({name})" if name.isalpha() else "")
