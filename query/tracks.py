"""Media of one camera put in line: what follows what without a hole, and what merely overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from stream.frame import Kind, Media

SLACK = timedelta(seconds=1)
"""A hole or an overlap up to this between two media of one camera does not part them."""


def chains(media: Sequence[Media]) -> list[list[Media]]:
    """Media of one camera in chains: inside a chain each follows the one before without a hole.

    A photograph is a chain of its own. Files that overlap in time (two clips that only share a modification time)
    are put in different chains, so their frames never mix in one moment.
    """
    lines: list[list[Media]] = []
    for one in sorted(media, key=lambda m: (m.start, m.id)):
        fits = [line for line in lines if _follows(line[-1], one)]
        if fits:
            max(fits, key=lambda line: line[-1].end).append(one)
        else:
            lines.append([one])
    return lines


def chain(media: Sequence[Media], anchor: str) -> list[Media]:
    """The chain that holds the media ``anchor``; empty when it is not among them."""
    return next((line for line in chains(media) if any(m.id == anchor for m in line)), [])


def _follows(before: Media, after: Media) -> bool:
    if Kind.PHOTO in (before.kind, after.kind):
        return False
    return abs(after.start - before.end) <= SLACK
