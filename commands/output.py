"""Prints tables, times, sizes and images in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from footage.query.clips.clip import Clip
    from footage.query.http.schemas import LoadOut
    from footage.stream.frame import Image


def local_time(time: datetime) -> str:
    """A time in this machine's zone, to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def position(seconds: float) -> str:
    """A position in a file: ``0:37`` or ``1:02:03``."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def format_size(count: float) -> str:
    """Bytes as people write them: ``3.4 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print lines of aligned columns, never cut: an id must stay whole to be copied."""
    from rich.cells import cell_len

    from footage.stream.printable import printable

    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def describe_clip(clip: Clip) -> str:
    """One sentence on where a clip really starts and ends."""
    length = (clip.end - clip.start).total_seconds()
    text = f"{length:.1f} s from {local_time(clip.start)}"
    if clip.lead >= 0.05:
        text += f", {clip.lead:.1f} s before the requested start: a copy starts at a keyframe; --precise cuts exactly"
    holes = sum(clip.start <= a and b <= clip.end for a, b in clip.gaps)
    outside = sum((b - a).total_seconds() for a, b in clip.gaps if a < clip.start or clip.end < b)
    if holes:
        text += f"; {holes} hole{'s' * (holes != 1)} in the footage"
    if outside:
        text += f"; {outside:.1f} s of the requested time are before or after the footage"
    return "; ".join([text, *clip.notes])


def describe_load(load: LoadOut) -> str:
    """One sentence on how busy a service is with its cameras, and how many it sustains."""
    text = f"embedding {load.busy:.0%} of the time"
    if load.sustained is not None:
        text += f"; this machine sustains about {load.sustained} cameras like these"
    return f"overloaded: {load.dropped} frames dropped in the last minute; {text}" if load.dropped else text


def can_draw_images() -> bool:
    """Whether standard output is a terminal with 24-bit color."""
    return (
        sys.stdout.isatty()
        and os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
        and "NO_COLOR" not in os.environ
    )


def print_image(image: Image, columns: int = 48) -> None:
    """Print an image in the terminal: two pixels a character, as half blocks in 24-bit color."""
    import cv2
    import numpy as np
    from rich.console import Console
    from rich.text import Text

    height, width = image.shape[:2]
    rows = max(1, round(columns * height / width / 2))
    small: Image = np.asarray(cv2.resize(image, (columns, rows * 2), interpolation=cv2.INTER_AREA))
    text = Text()
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for (r, g, b), (x, y, z) in zip(upper, lower, strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({x},{y},{z})")
        text.append("\n")
    Console().print(text, end="")
