"""Defines questions and answers, for the command line and HTTP alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from footage.indexer.store.base import Coverage
from footage.query.moments.reviews import MarkFilter, Review
from footage.query.moments.sequence import Pair
from footage.query.scoring.expression import Term, format_query
from footage.query.values.ids import MomentId
from footage.query.values.moment import Moment
from footage.query.values.schedule import Schedule
from footage.stream.errors import InvalidInput

Sort = Literal["score", "time", "oldest"]
Only = Literal["", "first", "last", "count"]


@dataclass(frozen=True, slots=True)
class PostProcessing:
    """What is done beyond finding the best moments.

    Attributes:
        refine: find the boundaries of moments in the footage.
        fold: group moments of a camera that look alike.
        only: of all moments that every record makes, the first, the last, or their number.
        then: terms of a second question whose moments must follow; the answer is pairs.
        within: longest time from the end of the first moment to the start of the second.
        then_cameras: cameras of the second question; empty means those of the first.

    Raises:
        ValueError: the options cannot be combined.
    """

    refine: bool = False
    fold: bool = False
    only: Only = ""
    then: tuple[Term, ...] = ()
    within: timedelta = timedelta(seconds=10)
    then_cameras: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.then and (self.fold or self.only):
            raise InvalidInput("then: cannot be asked together with fold, first, last or count")
        if self.only and self.fold:
            raise InvalidInput(f"fold: '{self.only}' counts every moment for itself; ask without fold")
        if self.then_cameras and not self.then:
            raise InvalidInput("then_camera: say with 'then' what should follow there")


@dataclass(frozen=True, slots=True)
class Question:
    """A question that the search engine answers; ``query.search.options`` makes one from plain values.

    Attributes:
        terms: words and images, wanted and unwanted; ``query.scoring.expression.parse_query`` parses a sentence.
        cameras: only these; empty means all.
        start, end: only between these UTC times, half-open.
        limit: at most this many moments.
        schedule: only in these hours, on these days.
        sort: the surest first, the newest (``time``) or the oldest.
        mark: only moments with this mark, or with none; empty means all.
        after: ``next`` of the previous answer, for the following page.
        postprocessing: what is done beyond finding the best moments.
    """

    terms: tuple[Term, ...]
    cameras: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 10
    schedule: Schedule = field(default_factory=Schedule)
    sort: Sort = "score"
    after: str = ""
    postprocessing: PostProcessing = field(default_factory=PostProcessing)
    mark: MarkFilter = ""

    def __post_init__(self) -> None:
        if self.mark and (self.postprocessing.only or self.postprocessing.then):
            raise InvalidInput("mark: cannot be asked together with first, last, count or then")

    @property
    def has_images(self) -> bool:
        """Whether any term is an image, given or of the index."""
        return any(term.is_image for term in self.terms)

    @property
    def identity(self) -> bytes:
        """What distinguishes it from other questions; without times and limit, since cursors carry those."""
        images = b"".join(hashlib.blake2b(t.image.tobytes()).digest() for t in self.terms if t.image is not None)
        asked = (format_query(self.terms), sorted(self.cameras), self.schedule, self.sort)
        return repr((*asked, self.mark) if self.mark else asked).encode() + images


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question.

    Attributes:
        moments: in the requested order.
        near: the best moments below the cutoff, when there are no others.
        coverage: which parts of the requested time range were watched.
        next: cursor of the next page; empty on the last one.
        refined: those whose boundaries were found in the footage.
        others: for each moment, the others that look like it.
        pairs: moments of the first question, each with one of the second.
        count: number of moments, if that was asked.
        looked: number of records scored, if it was every one of the filter.
        complete: whether nothing can match except what this and the following pages show.
        reviews: marks and exports of moments, of those that have any.
        missing: why moments have no picture, of those that have none.
        problem: what is wrong with the index, and how to repair it.
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
    missing: Mapping[Moment, str] = field(default_factory=dict)
    reviews: Mapping[Moment | MomentId, Review] = field(default_factory=dict)
    problem: str = ""
