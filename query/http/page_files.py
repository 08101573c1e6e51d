"""Lists the files of the review page, and reads them with their entity tags; nothing else of the folder is served."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "web"
"""The package's folder of the page's files."""

FILES = (
    "alerts.js",
    "api.js",
    "ask.js",
    "backtest.js",
    "filters.js",
    "format.js",
    "goto.js",
    "help.js",
    "icon.svg",
    "icons.js",
    "index.html",
    "keys.js",
    "live.js",
    "login.js",
    "main.js",
    "moment-id.js",
    "mp4-times.js",
    "nothing.js",
    "parts.js",
    "pictures.js",
    "play.css",
    "player-box.js",
    "player-clip.js",
    "player-layout.js",
    "player-others.js",
    "player-scrub.js",
    "player-swipe.js",
    "player-video.js",
    "player.js",
    "playhead.js",
    "preview.js",
    "results.js",
    "review.js",
    "scale.js",
    "schedule-words.js",
    "search.js",
    "setup.js",
    "share-page.js",
    "share.css",
    "share.html",
    "share.js",
    "state.js",
    "strings.js",
    "style.css",
    "timeline-draw.js",
    "timeline-size.js",
    "timeline-view.js",
    "timeline.js",
    "timewords.js",
    "tune.js",
    "understand.js",
    "vendor/lit-html/directive-helpers.js",
    "vendor/lit-html/directive.js",
    "vendor/lit-html/directives/repeat.js",
    "vendor/lit-html/lit-html.js",
    "watches.js",
    "zoned.js",
)
"""Every file of the page that is served, by its path below ``/web/``. Vendored ones are in ``vendor/``."""

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Content types by suffix; all of them are texts in UTF-8."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page as it is sent.

    Attributes:
        packed: the same in gzip.
        etag: without quotes; that of the packed form ends in ``-gz``.
    """

    content_type: str
    body: bytes
    packed: bytes
    etag: str


_read: dict[str, tuple[tuple[int, int], PageFile]] = {}


def page_file(name: str) -> PageFile | None:
    """The file of this name as it is now, None if none of this name is served; kept in memory while it is unchanged."""
    if name not in FILES:
        return None
    path = FOLDER / name
    found = path.stat()
    version = (found.st_mtime_ns, found.st_size)
    known = _read.get(name)
    if known is None or known[0] != version:
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:32]
        file = PageFile(TYPES[path.suffix], body, gzip.compress(body, mtime=0), digest)
        known = _read[name] = (version, file)
    return known[1]
