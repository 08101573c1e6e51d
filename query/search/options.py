"""Turns the options of a search, given as plain values, into a question; used by the command line and HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from footage.query.moments.reviews import MarkFilter
from footage.query.scoring.expression import Term, parse_query, parse_term, validate_terms
from footage.query.search.question import Only, PostProcessing, Question, Sort
from footage.query.values.schedule import Schedule
from footage.query.values.times import parse_duration
from footage.stream.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """Every option of a search except its terms, with the defaults.

    Attributes:
        cameras: only these; empty means all.
        start, end: only between these UTC times, half-open.
        hours: ``8-18``, or ``22-6`` for over midnight.
        days: ``mon-fri`` or ``sat,sun``.
        sort: the surest first, or the newest.
        limit: at most this many moments.
        after: ``next`` of the previous answer, for the following page.
        refine: find the boundaries of moments in the footage.
        fold: group moments of a camera that look alike.
        only: of all moments, the first, the last, or their number.
        within: how soon the second thing must follow, as ``10s`` or ``5m``.
        then_cameras: where it must follow; empty means on the same cameras.
    """

    cameras: Sequence[str] = ()
    start: datetime | None = None
    end: datetime | None = None
    hours: str = ""
    days: str = ""
    sort: Sort = "score"
    limit: int = 10
    after: str = ""
    refine: bool = False
    fold: bool = False
    only: Only = ""
    within: str | timedelta = "10s"
    then_cameras: Sequence[str] = ()
    mark: MarkFilter = ""

    def to_question(self, terms: Sequence[Term], then: Sequence[Term] = ()) -> Question:
        """Return the question with these terms.

        Args:
            then: terms of a second question whose moments must follow.

        Raises:
            BadSchedule: hours or days are malformed.
            ValueError: ``within`` is malformed, or options cannot be combined.
        """
        within = self.within
        if not isinstance(within, timedelta):
            within = timedelta(seconds=parse_duration(within))
        schedule = Schedule(self.hours, self.days)
        postprocessing = PostProcessing(
            self.refine, self.fold, self.only, tuple(then), within, tuple(self.then_cameras)
        )
        cameras = tuple(self.cameras)
        return Question(
            tuple(terms),
            cameras,
            self.start,
            self.end,
            self.limit,
            schedule,
            self.sort,
            self.after,
            postprocessing,
            self.mark,
        )


def choose_only(*, first: bool, last: bool, count: bool) -> Only:
    """Return the value of ``only`` for three flags of a command line.

    Raises:
        ValueError: more than one flag is set.
    """
    flags: dict[Only, bool] = {"first": first, "last": last, "count": count}
    chosen = [name for name, is_set in flags.items() if is_set]
    if len(chosen) > 1:
        raise InvalidInput(f"--{chosen[0]} and --{chosen[1]} are two questions: ask them one after the other")
    return chosen[0] if chosen else ""


def parse_sum(
    query: str, plus: Sequence[str] = (), minus: Sequence[str] = (), images: Sequence[Term] = ()
) -> tuple[Term, ...]:
    """Parse a sentence, which may be empty, and add wanted terms, unwanted terms and images.

    Raises:
        BadTerms: they do not make a question.
    """
    words = parse_query(query) if query.strip() else ()
    more = [*(parse_term(text) for text in plus), *(parse_term(text, -1) for text in minus)]
    return validate_terms([*words, *more, *images])
