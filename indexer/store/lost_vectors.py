"""Notes which records were lost, for every service to say so: in answers, coverage, readiness and status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from footage.indexer.store.base import Catalog, Coverage, CoverageState
from footage.stream.instants import from_micros, to_micros
from footage.stream.spans import merge

log = logging.getLogger(__name__)

KIND = "lost-vectors"
"""Kind of the catalog's documents: one a camera whose records were lost, none where all is well."""
LOST = "its vectors were lost"
"""Cause of the gap in the coverage."""

Span = tuple[datetime, datetime]
Spans = Sequence[Span]
"""Half-open spans of time, in order."""


async def read_losses(catalog: Catalog) -> dict[str, Spans]:
    """Return the times of which records were lost, by camera."""
    losses = {camera: _parse(camera, document) for camera, document in (await catalog.documents(KIND)).items()}
    return {camera: spans for camera, spans in losses.items() if spans}


async def note_loss(catalog: Catalog, camera: str, spans: Spans) -> None:
    """Note the times of which a camera's records were lost, instead of what was noted; none: all is well again."""
    document = {"spans": [[to_micros(start), to_micros(end)] for start, end in merge(spans)]}
    await catalog.put_document(KIND, camera, document if spans else None)


async def shown_coverage(catalog: Catalog, cameras: Sequence[str], start: datetime, end: datetime) -> list[Coverage]:
    """Return the coverage of [start, end) as ``Catalog.coverage`` does; what was watched and lost is a gap.

    The catalog keeps what was watched, and it is shown again when the records are there again.
    """
    known, losses = await asyncio.gather(catalog.coverage(cameras, start, end), read_losses(catalog))
    return [part for each in known for part in _without(each, losses.get(each.camera, ()))]


def describe_losses(losses: Mapping[str, Spans]) -> str:
    """Say in one line of which cameras and times records were lost, to who may see all; empty when of none."""
    if not losses:
        return ""
    spans = [(start, end, camera) for camera, each in losses.items() for start, end in each]
    start, end, camera = max(spans, key=lambda span: span[1] - span[0])
    text = f"records of camera '{camera}' from {_say(start)} to {_say(end)}"
    if len(spans) > 1:
        text += f", and of {_number(len(spans) - 1, 'more span')} of {_number(len(losses), 'camera')},"
    return f"{text} were lost"


def count_losses(losses: Mapping[str, Spans]) -> str:
    """Say in one line how much was lost, naming no camera, for answers over HTTP; empty when nothing was."""
    spans = sum(len(each) for each in losses.values())
    number = f"{_number(spans, 'span')} of {_number(len(losses), 'camera')}"
    return f"records of {number} were lost (footage doctor names them)" if losses else ""


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _say(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _parse(camera: str, document: Mapping[str, Any]) -> Spans:
    try:
        return [(from_micros(int(start)), from_micros(int(end))) for start, end in document["spans"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        _warn_once(camera)
        return []


@lru_cache(maxsize=1024)
def _warn_once(camera: str) -> None:
    log.warning("what was lost of camera '%s' cannot be read; `footage doctor` notes it anew", camera)


def _without(watched: Coverage, lost: Iterable[Span]) -> Iterator[Coverage]:
    """Divide a span where what was lost begins and ends."""
    if watched.state is not CoverageState.WATCHED:
        yield watched
        return
    camera, at = watched.camera, watched.start
    for start, end in lost:
        start, end = max(start, at), min(end, watched.end)
        if start < end:
            if at < start:
                yield replace(watched, start=at, end=start)
            yield Coverage(camera, start, end, CoverageState.GAP, LOST)
            at = end
    if at < watched.end:
        yield replace(watched, start=at)
