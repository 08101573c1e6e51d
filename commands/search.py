"""``footage search``: finds moments, and prints them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import FAILED, NOTHING, UsageError, print_message, reports_errors
from footage.commands.options import (
    CamerasOption,
    Config,
    Data,
    EmbedderOption,
    FitOption,
    FromOption,
    JsonOption,
    ModelOption,
    ToOption,
    option,
    resolve_settings,
    warn_about_cameras,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from footage.config.settings import Settings
    from footage.query.http.schemas import AnswerOut
    from footage.query.scoring.expression import Term
    from footage.query.search.question import Question
    from footage.stream.frame import Media


class SortName(StrEnum):
    """The orders of an answer as the command line shows them."""

    SCORE = "score"
    TIME = "time"
    OLDEST = "oldest"


class MarkName(StrEnum):
    """The marks of moments by which an answer is narrowed."""

    KEEP = "keep"
    DISMISS = "dismiss"
    NONE = "none"


Words = Annotated[
    list[str],
    typer.Argument(
        metavar="WORDS...", help="What to look for: words, an image file, a frame's id; + and - between them."
    ),
]
SortOption = Annotated[SortName, typer.Option("--sort", help="Best score first, newest first (time), or oldest.")]
MarkOption = Annotated[MarkName | None, typer.Option("--mark", help="Only what was kept, dismissed, or neither.")]


@reports_errors
async def search(
    words: Words,
    camera: CamerasOption = None,
    start: FromOption = None,
    end: ToOption = None,
    hours: Annotated[str, option("--hours", text="Only in these hours: 8-18, or 22-6 across midnight.")] = "",
    days: Annotated[str, option("--days", text="Only on these days: mon-fri, or sat,sun.")] = "",
    sort: SortOption = SortName.SCORE,
    mark: MarkOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Most moments to answer with.")] = 10,
    after: Annotated[str, option("--after", text="'next' of the last answer, for the page after it.")] = "",
    refine: Annotated[bool, typer.Option("--refine", help="Find starts and ends in the footage, to 0.2 s.")] = False,
    fold: Annotated[bool, typer.Option("--fold", help="One moment for all of its camera that look like it.")] = False,
    first: Annotated[bool, typer.Option("--first", help="Only the first moment in time.")] = False,
    last: Annotated[bool, typer.Option("--last", help="Only the last moment in time.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Only how many moments there are.")] = False,
    then: Annotated[str, option("--then", text="What has to follow; answers with pairs.")] = "",
    within: Annotated[str, option("--within", text="How soon it has to follow: 10s, 5m (default 10s).")] = "10s",
    then_camera: Annotated[list[str] | None, option("--then-camera", text="On which camera it has to follow.")] = None,
    as_json: JsonOption = False,
    embedder: EmbedderOption = None,
    model: ModelOption = None,
    fit: FitOption = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Find moments; exits with 3 when nothing matches."""
    from footage.query.search.options import SearchOptions, choose_only

    settings = resolve_settings(config, embedder=embedder, model=model, fit=fit, data=data)
    warn_about_cameras(settings)
    try:
        options = SearchOptions(
            cameras=camera or (),
            start=start,
            end=end,
            hours=hours,
            days=days,
            sort=sort.value,
            mark=mark.value if mark else "",
            limit=limit,
            after=after,
            refine=refine,
            fold=fold,
            only=choose_only(first=first, last=last, count=count),
            within=within,
            then_cameras=then_camera or (),
        )
        question = options.to_question(_parse_terms(words), _parse_terms([then]) if then else ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    answer, media = await _search(settings, question)
    if as_json:
        print(answer.model_dump_json(indent=2))
    else:
        _print_answer(answer, media)
    _print_notes(answer, more=bool(after))


def _parse_terms(words: Sequence[str]) -> tuple[Term, ...]:
    """The words of the command line; the name of an image file is replaced by the image.

    Raises:
        UsageError: an image cannot be read.
        BadTerms: the words do not make a question.
    """
    from footage.query.scoring.expression import parse_words

    return tuple(_load_image(term) for term in parse_words(words))


def _load_image(term: Term) -> Term:
    """The term with the image that its text names, if it names one."""
    path = Path(term.text)
    if term.frame or not path.suffix:  # words, for which nothing that reads images is loaded
        return term
    from footage.query.scoring.expression import MAX_IMAGE_SIDE, with_image
    from footage.stream.files import image_file
    from footage.stream.files.unreadable import MediaError

    if not image_file.is_photo(path):
        return term
    if not path.is_file():
        raise UsageError(f"there is no image {path}")
    try:
        return with_image(term, path.name, image_file.load(path, MAX_IMAGE_SIDE))
    except MediaError as error:
        raise UsageError(str(error)) from None


async def _search(settings: Settings, question: Question) -> tuple[AnswerOut, dict[str, Media]]:
    from footage.commands.composition import open_services, require_index

    require_index(settings)
    from footage.commands.answering import answer_question

    async with open_services(settings, lazy=True) as services:
        return await answer_question(services, question)


def _print_answer(answer: AnswerOut, media: Mapping[str, Media]) -> None:
    from footage.commands.answering import print_moments, print_pairs

    if answer.moments:
        print_moments(answer, media)
    elif answer.pairs:
        print_pairs(answer, media)
    elif answer.count:
        print(answer.count)


def _print_notes(answer: AnswerOut, more: bool) -> None:
    """Print on standard error what the user should know about an answer; exit with 3 when it is empty."""
    from footage.commands.answering import describe_gaps, describe_no_match

    if answer.looked is not None:
        print_message(f"scanned {answer.looked} records")
    for line in describe_gaps(answer):
        print_message(line)
    if answer.problem:
        print_message(answer.problem)
    elif not answer.complete:
        reason = "more may match than the nearest records show"
        print_message(f"{reason}: narrow the search by camera or time, or use --count")
    if answer.next:
        print_message(f"there is more: search again with --after {answer.next}")
    if not (answer.moments or answer.pairs or answer.count):
        print_message("nothing more" if more else describe_no_match(answer))
        raise typer.Exit(FAILED if answer.problem else NOTHING)
