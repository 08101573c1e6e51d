"""Renders the HTML page of an export: clips, pictures and times, opened from the unpacked folder. No scripts."""

from __future__ import annotations

import base64
import shutil
from datetime import datetime
from html import escape
from typing import IO
from urllib.parse import quote

import cv2
import numpy as np

from footage.query.export.manifest import CHECKSUMS, MANIFEST, ExportedMoment, Manifest
from footage.query.values.times import format_time
from footage.stream.files.frame_at import encode_jpeg
from footage.stream.files.frame_image import fit_size
from footage.stream.frame import Image

PICTURE_SIDE = 240
"""Pixels of the shorter side of the pictures in the page."""

STATE_LABELS = {"proved": "proved", "unproved": "NOT PROVED", "photograph": "photograph", "missing": "no clip"}

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="script-src 'none'; object-src 'none'">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
article {{ display: flex; flex-wrap: wrap; gap: 1rem; border-top: 1px solid #8886; padding: 1rem 0 }}
img, video {{ width: 20rem; max-width: 100%; background: #8883; display: block }}
.text {{ flex: 1; min-width: 18rem; overflow-wrap: anywhere }}
h1, h2, p {{ margin: 0 0 .4rem }} h2 {{ font-size: 1.1rem }} small {{ opacity: .75 }}
.state {{ font-size: .8rem; padding: .1rem .5rem; border-radius: 1rem; background: #2a73; white-space: nowrap }}
.unproved, .missing {{ background: #c003 }}
</style></head><body>
<h1>{title}</h1>
<p>{counts}. Times are local to the machine that made this, {zone} then, with UTC below.</p>
<p><small>Made {made} by Footage {version}. {filters}All facts: <a href="{manifest}">{manifest}</a>.
To check that nothing has changed, {check}.</small></p>
"""


class ExportPage:
    """Collects the cards of a page in a file, so that memory does not grow with them.

    Args:
        file: empty, to write and read; whoever opened it closes it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, row: ExportedMoment, image: Image | None) -> None:
        """Adds a moment, with its picture if it has one. Blocks."""
        self._file.write(render_card(row, image).encode())

    def write(self, out: IO[bytes], manifest: Manifest) -> None:
        """Writes the whole page to ``out``. Blocks."""
        out.write(_render_head(manifest).encode())
        self._file.seek(0)
        shutil.copyfileobj(self._file, out)
        out.write(b"</body></html>\n")


def render_card(row: ExportedMoment, image: Image | None) -> str:
    """Renders one moment as HTML; all values are escaped."""
    score = f", score {row.score:.2f}" if row.score is not None else ""
    length = (row.end - row.start).total_seconds()
    span = f"{format_time(row.start)} to {format_time(row.end)}"
    lines = [
        f"<h2>{escape(row.camera)} <span class='state {row.state}'>{STATE_LABELS[row.state]}</span></h2>",
        f"<p>{_format_local(row.start)}, {length:.1f} s{score}<br><small>{span}; "
        f"clock: {escape(row.clock or 'not known')}</small></p>",
        *_render_links(row),
        *([f"<p>{escape(row.reason)}</p>"] if row.reason else []),
        f"<p><small>{escape(row.id)}</small></p>",
    ]
    return f"<article>{_render_media(row, image)}<div class='text'>{''.join(lines)}</div></article>\n"


def _render_links(row: ExportedMoment) -> list[str]:
    links = []
    if row.clip and row.best_frame:
        name, offset = quote(row.clip.name), row.best_frame.offset_ms / 1000
        links.append(f"<a href='{name}'>{escape(row.clip.name)}</a> ({row.clip.bytes / 1e6:.1f} MB)")
        links.append(f"<a href='{name}#t={offset:.3f}'>best frame at {offset:.1f} s</a>")
    if row.picture:
        links.append(f"<a href='{quote(row.picture.name)}'>picture</a>")
    return [f"<p>{', '.join(links)}</p>"] if links else []


def _render_media(row: ExportedMoment, image: Image | None) -> str:
    """Renders the player, with the best frame as its poster, or the picture alone. The picture is embedded."""
    if image is None:
        return ""
    height, width = image.shape[:2]
    small: Image = np.asarray(
        cv2.resize(image, fit_size(width, height, PICTURE_SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )
    data = "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(small, 80)).decode()
    if row.clip:
        return f"<video controls preload='none' poster='{data}' src='{quote(row.clip.name)}'></video>"
    return f"<img alt='best frame' src='{data}'>"


def _render_head(manifest: Manifest) -> str:
    filters = ", ".join(
        f"{k}: {', '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in manifest.filters.items()
    )
    return HEAD.format(
        title=escape(manifest.query or "Moments"),
        counts=escape(", ".join(f"{n} {STATE_LABELS[state]}" for state, n in manifest.counts.items())),
        zone=escape(manifest.time_zone),
        made=format_time(manifest.made_at),
        version=escape(manifest.footage),
        filters=escape(f"Asked with {filters}. " if filters else ""),
        manifest=MANIFEST,
        check=escape(manifest.check).replace(CHECKSUMS, f"<a href='{CHECKSUMS}'>{CHECKSUMS}</a>", 1),
    )


def _format_local(time: datetime) -> str:
    return time.astimezone().isoformat(sep=" ", timespec="seconds")
