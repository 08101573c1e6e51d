"""``footage search``: a question in, moments out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import typer

from footage.commands import show
from footage.commands.errors import NOTHING, say
from footage.commands.parts import Parts, has_index, no_index, opened
from footage.config.settings import Settings, SettingsError
from footage.indexer.store.base import Entry
from footage.query.http.schemas import AnswerOut
from footage.query.scoring.expression import SIDE, Term, expression, pictured
from footage.query.search.postprocess import Finisher
from footage.query.search.question import Question
from footage.stream.files import image_file
from footage.stream.files.video_file import MediaError


def run(settings: Settings, question: Question, as_json: bool) -> None:
    """Search, print the answer on standard output; exit with 3 when nothing matches."""
    found, held = asyncio.run(_run(settings, question))
    if as_json:
        print(found.model_dump_json(indent=2))
    elif found.moments:
        show.answer(found, held)
    elif found.pairs:
        show.pairs(found, held)
    elif found.count:
        print(found.count)
    if found.looked is not None:
        say(f"looked at {found.looked} records")
    for line in show.gaps(found):
        say(line)
    if not found.complete:
        say("more may match than the nearest records lead to: narrow the search by camera or time, or use --count")
    if found.next:
        say(f"there is more: ask again with --after {found.next}")
    if not (found.moments or found.pairs or found.count):
        say("nothing more" if question.after else show.nothing(found))
        raise typer.Exit(NOTHING)


def terms(words: Sequence[str]) -> tuple[Term, ...]:
    """The words of the command line, in which the name of a picture's file stands for the picture.

    Raises:
        SettingsError: a picture cannot be read.
        BadTerms: the words do not make a question.
    """
    try:
        return tuple(_picture(one) for one in expression(words))
    except MediaError as error:
        raise SettingsError(str(error)) from None


def only(**asked: bool) -> Literal["", "first", "last", "count"]:
    """Which of these is asked for.

    Raises:
        ValueError: more than one.
    """
    wanted = [name for name in ("first", "last", "count") if asked[name]]
    if len(wanted) > 1:
        raise ValueError(f"--{wanted[0]} and --{wanted[1]} are two questions: ask them one after the other")
    return cast(Literal["", "first", "last", "count"], wanted[0] if wanted else "")


def _picture(one: Term) -> Term:
    path = Path(one.text)
    if one.frame or not image_file.is_photo(path):
        return one
    if not path.is_file():
        raise SettingsError(f"there is no picture {path}")
    return pictured(one, path.name, image_file.load(path, SIDE))


async def _run(settings: Settings, question: Question) -> tuple[AnswerOut, dict[str, list[Entry]]]:
    if not has_index(settings):
        raise no_index(settings)
    async with opened(settings) as parts:
        return await ask(parts, question)


async def ask(parts: Parts, question: Question) -> tuple[AnswerOut, dict[str, list[Entry]]]:
    """The answer, and the media of its moments."""
    known = {c.camera for c in await parts.catalog.cameras()}
    if unknown := [c for c in (*question.cameras, *question.finish.then_cameras) if c not in known]:
        raise SettingsError(f"there is no camera '{unknown[0]}'; there are: {', '.join(sorted(known)) or 'none'}")
    answer = await Finisher(parts.searcher).answer(question)
    found = AnswerOut.of(question, answer)
    shown = [*answer.moments, *(m for pair in answer.pairs for m in (pair.first, pair.then))]
    held: dict[str, list[Entry]] = {m.camera: [] for m in shown}
    for entry in (await parts.catalog.media([m.media for m in shown])).values():
        held[entry.media.camera].append(entry)
    return found, held
