"""Encodes the position of the next page of an answer, so that pages stay the same while new records arrive.

The server keeps nothing. A search takes the ``k`` records nearest to the question and finds the moments around
them. A page shows those that contain none of the first ``seen`` hits (earlier pages showed these), after the one with
which the page before ended. When they are used up, the next tier begins: ``seen = k``, and ``k`` grows. What the first
page fixed is passed on: where time begins and ends, and from which records the background was sampled.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime

from footage.query.values.moment import Moment
from footage.stream.errors import InvalidInput
from footage.stream.instants import from_micros, to_micros

FIRST_HITS, MAX_HITS, HITS_GROWTH = 128, 8192, 4
"""Hits requested at first and at most, and their growth each time one long moment contains too many of them."""

SortKey = tuple[float, int, str]
"""The key by which the moments of an answer are sorted."""


class BadCursor(InvalidInput):
    """The text is not the position of a page of this question's answer."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of a page.

    Attributes:
        seen: number of hits whose moments were shown on earlier pages.
        k: number of hits in this tier.
        after: key of the last moment of this tier that was shown; None at its beginning.
        start, end: UTC; what is earlier, or later, is left out.
        background_before: as ``query.scoring.background.Background.before``.
    """

    seen: int
    k: int
    after: SortKey | None
    start: datetime
    end: datetime
    background_before: datetime | None

    @classmethod
    def first_page(cls, start: datetime, end: datetime, background_before: datetime | None) -> Cursor:
        """Return the cursor of an answer's first page."""
        return cls(0, FIRST_HITS, None, start, end, background_before)

    @property
    def nothing_shown(self) -> bool:
        """Whether no page has shown anything yet."""
        return self.seen == 0 and self.after is None

    @property
    def is_last_tier(self) -> bool:
        """Whether no more hits may be requested."""
        return self.k >= MAX_HITS

    def next_tier(self) -> Cursor:
        """Return the cursor of the next tier; the first tier only grows until something of it is shown."""
        return replace(self, seen=0 if self.nothing_shown else self.k, k=HITS_GROWTH * self.k, after=None)

    def encode(self, identity: bytes) -> str:
        """Encode the cursor as text for a URL, bound to the question with this identity."""
        before = None if self.background_before is None else to_micros(self.background_before)
        times = to_micros(self.start), to_micros(self.end), before
        fields = [self.seen, self.k, self.after, *times, _digest(identity)]
        return base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, identity: bytes) -> Cursor:
        """Decode what ``encode`` made.

        Raises:
            BadCursor: the text is not a cursor, or it belongs to another question.
        """
        try:
            fields = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            seen, k, after, start, end, before, digest = fields
            key = None if after is None else (float(after[0]), int(after[1]), str(after[2]))
            times = from_micros(start), from_micros(end), None if before is None else from_micros(before)
            cursor = cls(int(seen), int(k), key, *times)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, binascii.Error, RecursionError):
            raise BadCursor("after: this is not the 'next' of an answer") from None
        if digest != _digest(identity):
            raise BadCursor("after: this belongs to another question; ask that one again, with nothing changed")
        if not 0 <= cursor.seen < cursor.k <= MAX_HITS:
            raise BadCursor("after: this is not the 'next' of an answer")
        return cursor


def score_key(moment: Moment) -> SortKey:
    """Return the key that sorts the surest moments first."""
    return (-moment.score, to_micros(moment.start), moment.camera)


def time_key(moment: Moment) -> SortKey:
    """Return the key that sorts the newest moments first."""
    return (0.0, -to_micros(moment.start), moment.camera)


def oldest_key(moment: Moment) -> SortKey:
    """Return the key that sorts the oldest moments first."""
    return (0.0, to_micros(moment.start), moment.camera)


def _digest(identity: bytes) -> str:
    return hashlib.blake2b(identity, digest_size=9).hexdigest()
