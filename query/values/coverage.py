"""Makes coverage coarser, so that the time of months can be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby

from footage.indexer.store.base import Coverage


def coarsen(coverage: Iterable[Coverage], resolution: timedelta) -> list[Coverage]:
    """Join spans of a camera until none that touches another is shorter than ``resolution``.

    Each joined span is what most of its time was, with the cause of its longest gap; where nothing is known between two
    spans for as long as ``resolution``, they stay apart.

    Args:
        coverage: by camera and time, not overlapping.
    """
    found: list[Coverage] = []
    for _, spans in groupby(coverage, key=lambda one: one.camera):
        group: list[Coverage] = []
        for one in spans:
            if group and (_is_long(group, resolution) or one.start - group[-1].end >= resolution):
                found.append(_join(group))
                group = []
            group.append(one)
        if found and not _is_long(group, resolution) and _touch(found[-1], group[0], resolution):
            group = [found.pop(), *group]
        found.append(_join(group))
    return _join_equal(found, resolution)


def _touch(one: Coverage, after: Coverage, resolution: timedelta) -> bool:
    return one.camera == after.camera and after.start - one.end < resolution


def _is_long(group: Sequence[Coverage], resolution: timedelta) -> bool:
    return group[-1].end - group[0].start >= resolution


def _join(group: Sequence[Coverage]) -> Coverage:
    """One span over all of a group, as most of its time was."""
    length: dict[str, timedelta] = {}
    for one in group:
        length[one.state] = length.get(one.state, timedelta()) + (one.end - one.start)
    state = max(length, key=lambda state: length[state])
    longest = max((one for one in group if one.state == state), key=lambda one: one.end - one.start)
    return replace(longest, start=group[0].start, end=group[-1].end)


def _join_equal(spans: Sequence[Coverage], resolution: timedelta) -> list[Coverage]:
    found: list[Coverage] = []
    for one in spans:
        last = found[-1] if found else None
        same = last and (last.camera, last.state, last.cause) == (one.camera, one.state, one.cause)
        if last and same and _touch(last, one, resolution):
            found[-1] = replace(last, end=one.end)
        else:
            found.append(one)
    return found
