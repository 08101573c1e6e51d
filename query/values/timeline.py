"""Groups the media of one camera into chains of continuous footage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from footage.stream.frame import Kind, Media

MAX_HOLE = timedelta(seconds=1)
"""Two media of one camera with at most this hole or overlap between them are continuous."""


def media_chains(media: Sequence[Media]) -> list[list[Media]]:
    """Group media of one camera into chains; inside a chain each media follows the one before without a hole.

    A photo is a chain of its own. Files that overlap in time (two clips that only share a modification time)
    are put in different chains, so their frames never mix in one moment.
    """
    chains: list[list[Media]] = []
    assigner = ChainAssigner()
    for one in sorted(media, key=lambda m: (m.start, m.id)):
        number = assigner.add(one)
        if number == len(chains):
            chains.append([])
        chains[number].append(one)
    return chains


class ChainAssigner:
    """Assigns media to numbered chains as they come, in order of (start, id).

    It keeps only the last media of chains that may still be continued.
    """

    def __init__(self) -> None:
        self._tails: dict[int, Media] = {}
        self._next = 0

    def add(self, one: Media) -> int:
        """Return the number of the media's chain: an existing chain that it continues, or a new one."""
        self._tails = {n: tail for n, tail in self._tails.items() if tail.end >= one.start - MAX_HOLE}
        continued = [n for n, tail in self._tails.items() if _continues(tail, one)]
        number = max(continued, key=lambda n: self._tails[n].end) if continued else self._next
        self._next += not continued
        self._tails[number] = one
        return number


def find_chain(media: Sequence[Media], anchor: str) -> list[Media]:
    """Return the chain that contains the media with the id ``anchor``; empty when it is not among them."""
    return next((chain for chain in media_chains(media) if any(m.id == anchor for m in chain)), [])


def _continues(before: Media, after: Media) -> bool:
    if Kind.PHOTO in (before.kind, after.kind):
        return False
    return abs(after.start - before.end) <= MAX_HOLE
