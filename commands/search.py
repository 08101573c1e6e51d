"""``footage search``: a question in, moments out."""

from __future__ import annotations

import asyncio

import typer

from commands import show
from commands.errors import NOTHING, say
from commands.parts import Parts, has_index, no_index, opened
from config.settings import Settings, SettingsError
from indexer.store.base import Entry
from query.answers import AnswerOut, Question


def run(settings: Settings, question: Question, as_json: bool) -> None:
    """Search, print the answer on standard output; exit with 3 when nothing matches."""
    found, held = asyncio.run(_run(settings, question))
    if as_json:
        print(found.model_dump_json(indent=2))
    elif found.moments:
        show.answer(found, held)
    for line in show.gaps(found):
        say(line)
    if not found.moments:
        say(show.nothing(found))
        raise typer.Exit(NOTHING)


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
    found = AnswerOut.of(answer.moments, answer.near, answer.coverage)
    held: dict[str, list[Entry]] = {m.camera: [] for m in answer.moments}
    for entry in (await parts.catalog.media([m.media for m in answer.moments])).values():
        held[entry.media.camera].append(entry)
    return found, held
