"""What is asked and what is answered: the same shapes on the command line and over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from footage.indexer.store.base import Coverage
from footage.query.moments.sequence import Pair
from footage.query.scoring.expression import Term, written
from footage.query.values.moment import Moment
from footage.query.values.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done with the moments once they are found.

    Attributes:
        refine: look for their edges in the footage.
        fold: let one stand for all of its camera that look like it.
        only: of all moments that every record makes, the first, the last, or how many there are.
        then: what has to follow; the answer is pairs.
        within: at most so long after the end of the first.
        then_cameras: where it has to follow; empty means on the question's cameras.

    Raises:
        ValueError: they do not go together.
    """

    refine: bool = False
    fold: bool = False
    only: Literal["", "first", "last", "count"] = ""
    then: tuple[Term, ...] = ()
    within: timedelta = timedelta(seconds=10)
    then_cameras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.then and (self.fold or self.only):
            raise ValueError("then: cannot be asked together with fold, first, last or count")
        if self.only and self.fold:
            raise ValueError(f"fold: '{self.only}' counts every moment for itself; ask without fold")
        if self.then_cameras and not self.then:
            raise ValueError("then_camera: say with 'then' what should follow there")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for.

    Attributes:
        terms: words and pictures, wanted and not wanted; ``query.scoring.expression.said`` makes them of a sentence.
        cameras: only these; empty means all.
        start, end: only between these UTC times, half-open.
        limit: at most this many moments.
        schedule: only in these hours, on these days.
        sort: the surest first, or the newest.
        after: ``next`` of the answer before, for the page that follows.
        finish: what is done with the moments once they are found.
    """

    terms: tuple[Term, ...]
    cameras: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 10
    schedule: Schedule = field(default_factory=Schedule)
    sort: Literal["score", "time"] = "score"
    after: str = ""
    finish: Finish = field(default_factory=Finish)

    @property
    def pictures(self) -> bool:
        """Whether any term is a picture, sent or of the index."""
        return any(term.picture is not None or term.frame is not None for term in self.terms)

    @property
    def mark(self) -> bytes:
        """What tells it from other questions; times and limit do not, since pages carry them on."""
        pictures = b"".join(hashlib.blake2b(t.picture.tobytes()).digest() for t in self.terms if t.picture is not None)
        return repr((written(self.terms), sorted(self.cameras), self.schedule, self.sort)).encode() + pictures


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Attributes:
        moments: in the order that was asked for.
        near: what came nearest when there are none.
        coverage: what of the asked time was watched.
        next: where the next page begins; empty when this is the last one.
        refined: those whose edges were found in the footage.
        others: what a moment stands for besides itself.
        pairs: one thing, then another.
        count: how many moments there are, if that was asked.
        looked: records that were looked at, where it was every one.
        complete: whether nothing more can match than what this and the following pages show.
    """

    moments: list[Moment]
    near: list[Moment]
    coverage: list[Coverage]
    next: str = ""
    refined: frozenset[Moment] = frozenset()
    others: Mapping[Moment, Sequence[Moment]] = field(default_factory=dict)
    pairs: Sequence[Pair] = ()
    count: int | None = None
    looked: int | None = None
    complete: bool = True
