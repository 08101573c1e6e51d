"""What the person sees in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from footage.indexer.store.base import Entry
from footage.query.http.schemas import AnswerOut, MomentOut
from footage.stream.frame import Image, Kind


def local(time: datetime) -> str:
    """A time in this machine's zone, to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(seconds: float) -> str:
    """``0:37`` or ``1:02:03``."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def answer(found: AnswerOut, held: Mapping[str, Sequence[Entry]]) -> None:
    """Moments on standard output, one a line, in columns.

    Args:
        held: per camera, media that may hold its moments, to tell the place in the file.
    """
    folded = any(m.count > 1 for m in found.moments)
    rows = [("score", "camera", "start", "length", *(["times"] if folded else []), "in the file", "moment")]
    for m in found.moments:
        times = [str(m.count)] if folded else []
        there = place(m, held.get(m.camera, ()))
        rows.append((f"{m.score:.2f}", m.camera, local(m.start), length(m), *times, there, m.id))
    columns(rows)


def pairs(found: AnswerOut, held: Mapping[str, Sequence[Entry]]) -> None:
    """Pairs on standard output, two lines each; the arguments are those of ``answer``."""
    rows = [("score", "gap", "clocks", "camera", "start", "length", "in the file", "moment")]
    for pair in found.pairs:
        before = (f"{pair.score:.2f}", f"{pair.gap:.1f} s", pair.clocks)
        for m, lead in ((pair.first, before), (pair.then, ("", "", ""))):
            rows.append((*lead, m.camera, local(m.start), length(m), place(m, held.get(m.camera, ())), m.id))
    columns(rows)


def length(m: MomentOut) -> str:
    """How long a moment lasts."""
    seconds = (m.end - m.start).total_seconds()
    return f"{seconds:.1f} s" if seconds else "picture"


def columns(rows: Sequence[Sequence[str]]) -> None:
    """Lines of aligned columns, never cut: an id must stay whole to be copied."""
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def nothing(found: AnswerOut) -> str:
    """The sentence for an empty answer."""
    text = "nothing found"
    if found.near_misses:
        near = found.near_misses[0]
        text += (
            f"; nearest was camera {near.camera} at {local(near.best.time)} (score {near.score:.2f}), moment {near.id}"
        )
    return text


def gaps(found: AnswerOut) -> list[str]:
    """Sentences on when the asked cameras were not watched, and why."""
    lines = [
        f"camera {c.camera} was not watched from {local(c.start)} to {local(c.end)}: {c.cause}"
        for c in found.coverage
        if c.state == "gap"
    ]
    more = len(lines) - 5
    return [*lines[-5:], f"and {more} earlier gaps"] if more > 0 else lines


def place(m: MomentOut, entries: Sequence[Entry]) -> str:
    """File and position: ``bikes.mp4 0:03-0:08``; nothing for footage that the recorder keeps."""
    for entry in entries:
        media = entry.media
        if media.kind in (Kind.VIDEO, Kind.PHOTO) and media.start <= m.best.time <= media.end:
            name = Path(media.path).name
            if not media.duration:
                return name
            start, end = ((t - media.start).total_seconds() for t in (m.start, m.end))
            return f"{name} {clock(start)}-{clock(end)}"
    return ""


def can_draw() -> bool:
    """Whether standard output is a terminal with 24-bit colour."""
    return (
        sys.stdout.isatty()
        and os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
        and "NO_COLOR" not in os.environ
    )


def draw(image: Image, columns: int = 48) -> None:
    """A picture in the terminal: two pixels a character, by half blocks in 24-bit colour."""
    height, width = image.shape[:2]
    rows = max(1, round(columns * height / width / 2))
    small: Image = np.asarray(cv2.resize(image, (columns, rows * 2), interpolation=cv2.INTER_AREA))
    text = Text()
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for (r, g, b), (x, y, z) in zip(upper, lower, strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({x},{y},{z})")
        text.append("\n")
    Console().print(text, end="")


def size(count: float) -> str:
    """Bytes as people write them: ``3.4 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def ago(span: timedelta) -> str:
    """A length of time in words, coarse: ``5 min``, ``2.5 h``, ``3 days``."""
    seconds = span.total_seconds()
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"
