"""Media of one camera put in line: what follows what without a hole, and what merely overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from footage.stream.frame import Kind, Media

SLACK = timedelta(seconds=1)
"""A hole or an overlap up to this between two media of one camera does not part them."""


def chains(media: Sequence[Media]) -> list[list[Media]]:
    """Media of one camera in chains: inside a chain each follows the one before without a hole.

    A photograph is a chain of its own. Files that overlap in time (two clips that only share a modification time)
    are put in different chains, so their frames never mix in one moment.
    """
    lines: list[list[Media]] = []
    joiner = Joiner()
    for one in sorted(media, key=lambda m: (m.start, m.id)):
        number = joiner.add(one)
        if number == len(lines):
            lines.append([])
        lines[number].append(one)
    return lines


class Joiner:
    """Numbers the chains as media come, in order of (start, id); it holds no more than what may still be followed."""

    def __init__(self) -> None:
        self._tails: dict[int, Media] = {}
        self._next = 0

    def add(self, one: Media) -> int:
        """The number of the media's chain: an earlier one that it follows, or the next."""
        self._tails = {n: tail for n, tail in self._tails.items() if tail.end >= one.start - SLACK}
        fits = [n for n, tail in self._tails.items() if _follows(tail, one)]
        number = max(fits, key=lambda n: self._tails[n].end) if fits else self._next
        self._next += not fits
        self._tails[number] = one
        return number


def chain(media: Sequence[Media], anchor: str) -> list[Media]:
    """The chain that holds the media ``anchor``; empty when it is not among them."""
    return next((line for line in chains(media) if any(m.id == anchor for m in line)), [])


def _follows(before: Media, after: Media) -> bool:
    if Kind.PHOTO in (before.kind, after.kind):
        return False
    return abs(after.start - before.end) <= SLACK
