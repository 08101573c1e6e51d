"""``footage search``: a question in, moments out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import typer

from commands import show
from commands.errors import NOTHING, say
from commands.parts import Parts, has_index, no_index, opened
from config.settings import Settings, SettingsError
from indexer.store.base import Entry
from query.answers import AnswerOut, Question
from query.terms import SIDE, Term, expression, pictured
from stream import photo
from stream.film import MediaError


def run(settings: Settings, question: Question, as_json: bool) -> None:
    """Search, print the answer on standard output; exit with 3 when nothing matches."""
    found, held = asyncio.run(_run(settings, question))
    if as_json:
        print(found.model_dump_json(indent=2))
    elif found.moments:
        show.answer(found, held)
    for line in show.gaps(found):
        say(line)
    if found.next:
        say(f"there is more: ask again with --after {found.next}")
    if not found.moments:
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


def _picture(one: Term) -> Term:
    path = Path(one.text)
    if one.frame or not photo.is_photo(path):
        return one
    if not path.is_file():
        raise SettingsError(f"there is no picture {path}")
    return pictured(one, path.name, photo.load(path, SIDE))


async def _run(settings: Settings, question: Question) -> tuple[AnswerOut, dict[str, list[Entry]]]:
    if not has_index(settings):
        raise no_index(settings)
    async with opened(settings) as parts:
        return await ask(parts, question)


async def ask(parts: Parts, question: Question) -> tuple[AnswerOut, dict[str, list[Entry]]]:
    """The answer, and the media of its moments."""
    known = {c.camera for c in await parts.catalog.cameras()}
    if unknown := [c for c in question.cameras if c not in known]:
        raise SettingsError(f"there is no camera '{unknown[0]}'; there are: {', '.join(sorted(known)) or 'none'}")
    answer = await parts.searcher.search(question)
    found = AnswerOut.of(question, answer)
    held: dict[str, list[Entry]] = {m.camera: [] for m in answer.moments}
    for entry in (await parts.catalog.media([m.media for m in answer.moments])).values():
        held[entry.media.camera].append(entry)
    return found, held
