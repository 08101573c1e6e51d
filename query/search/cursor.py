"""Pages of one answer that stay as they are while new records arrive, without anything kept on the server.

A search looks at the ``k`` records nearest to the question and grows moments around them. A page is served from those
that touch none of the first ``base`` hits (earlier pages showed these), after the one that the page before ended
with. When they are used up, the next tier begins: ``base = k``, and ``k`` grows. What was fixed by the first page goes
along: where time begins and ends, and from which records the background was learnt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from footage.query.values.ids import instant, micros
from footage.query.values.moment import Moment

Key = tuple[float, int, str]
"""Of a moment, by which a page is ordered."""


class BadPage(ValueError):
    """The text is not a place in this question's answer."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where the next page begins.

    Attributes:
        base: hits whose moments were shown on earlier pages.
        k: hits that this tier looks at.
        after: the last moment shown of this tier; None at its beginning.
        start, end: UTC; what is earlier, or later, is left out.
        before: as ``query.scoring.background.Background`` has it.
    """

    base: int
    k: int
    after: Key | None
    start: datetime
    end: datetime
    before: datetime | None

    def written(self, question: bytes) -> str:
        """As text for a URL, bound to a question."""
        before = None if self.before is None else micros(self.before)
        facts = [self.base, self.k, self.after, micros(self.start), micros(self.end), before, _mark(question)]
        return base64.urlsafe_b64encode(json.dumps(facts, separators=(",", ":")).encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, question: bytes, most: int) -> Page:
        """The place that ``written`` wrote.

        Raises:
            BadPage: it is not one, or it belongs to another question.
        """
        try:
            facts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            base, k, after, start, end, before, mark = facts
            key = None if after is None else (float(after[0]), int(after[1]), str(after[2]))
            times = instant(start), instant(end), None if before is None else instant(before)
            page = cls(int(base), int(k), key, *times)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, binascii.Error, RecursionError):
            raise BadPage("after: this is not the 'next' of an answer") from None
        if mark != _mark(question):
            raise BadPage("after: this belongs to another question; ask that one again, with nothing changed")
        if not 0 <= page.base < page.k <= most:
            raise BadPage("after: this is not the 'next' of an answer")
        return page


def by_score(moment: Moment) -> Key:
    """Surest first."""
    return (-moment.score, micros(moment.start), moment.camera)


def by_time(moment: Moment) -> Key:
    """Newest first."""
    return (0.0, -micros(moment.start), moment.camera)


def _mark(question: bytes) -> str:
    return hashlib.blake2b(question, digest_size=9).hexdigest()
