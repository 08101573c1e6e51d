"""``footage export``: puts many moments into one zip for review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import FAILED, NOTHING, print_message, reports_errors
from footage.commands.options import Config, Data, resolve_settings

if TYPE_CHECKING:
    from footage.config.settings import Settings
    from footage.query.export.archive import ExportRequest
    from footage.query.export.manifest import ExportedMoment, Manifest


@reports_errors
def export(
    moments: Annotated[list[str], typer.Argument(metavar="MOMENT...", help="Moments' ids; - reads a search's --json.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("review.zip"),
    precise: Annotated[bool, typer.Option("--precise", help="Re-encode: exact to the frame.")] = False,
    pad: Annotated[float, typer.Option("--pad", min=0, max=600, help="Seconds before and after.")] = 2.0,
    query: Annotated[str, typer.Option("--query", help="The question that found them, for the manifest.")] = "",
    data: Data = None,
    config: Config = None,
) -> None:
    """Put many moments into one zip: verified clips, images, and a page that shows them."""
    import asyncio
    import sys

    from footage.query.export.archive import ExportRequest, sort_moments
    from footage.query.export.manifest import Wanted

    settings = resolve_settings(config, data=data)
    # Not in a coroutine: Ctrl-C would not interrupt reading there.
    if list(moments) == ["-"]:
        request = parse_request(sys.stdin.read(), precise, pad, query)
    else:
        request = ExportRequest(sort_moments(Wanted(id=moment) for moment in moments), query, {}, pad, precise)
    manifest = asyncio.run(_export(settings, request, out)) if request.moments else None
    if manifest is None:
        print_message("nothing could be exported")
        raise typer.Exit(NOTHING)
    print(out)
    counts = ", ".join(f"{count} {state}" for state, count in manifest.counts.items())
    print_message(f"{counts}; {out} describes each")
    if manifest.counts.keys() & {"unproved", "missing"}:
        raise typer.Exit(FAILED)


def parse_request(text: str, precise: bool, pad: float, query: str) -> ExportRequest:
    """What standard input asks to export: the JSON answer of a search, or ids with spaces between them.

    Raises:
        typer.BadParameter: it is neither.
        query.values.ids.BadId: one is not a moment's id.
    """
    from pydantic import BaseModel, ValidationError

    from footage.query.export.archive import ExportRequest, sort_moments
    from footage.query.export.manifest import Wanted

    class SearchAnswer(BaseModel):
        """What is read of an answer of ``footage search --json``."""

        moments: list[Wanted]
        query: str = ""

    if not text.lstrip().startswith("{"):
        return ExportRequest(sort_moments(Wanted(id=m) for m in text.split()), query, {}, pad, precise)
    try:
        answer = SearchAnswer.model_validate_json(text)
    except ValidationError:
        raise typer.BadParameter("standard input is not the answer of: footage search --json") from None
    return ExportRequest(sort_moments(answer.moments), query or answer.query, {}, pad, precise)


async def _export(settings: Settings, request: ExportRequest, out: Path) -> Manifest | None:
    from dataclasses import replace

    from footage.commands.composition import clip_cache, open_index, reach_cluster
    from footage.commands.peers import open_peers
    from footage.commands.protected_files import check_output
    from footage.query.clips.service import ClipService
    from footage.query.export.archive import save_export
    from footage.query.http.tokens import LOCAL_NAME
    from footage.query.moments.reviews import ReviewLog
    from footage.query.values.ids import MomentId

    async with open_index(settings) as index, open_peers(settings, index.catalog) as peers:
        await check_output(settings, index.catalog, out)
        clips = reach_cluster(ClipService(index.store, index.catalog, clip_cache(settings)), peers)
        reviews = ReviewLog(index.catalog)
        request = replace(request, reviews=await reviews.of(moment for moment, _ in request.moments))
        manifest = await save_export(clips, request, out, _report_problem)
        if manifest:
            exported = [MomentId.parse(m.id) for m in manifest.moments if m.picture or m.clip]
            await reviews.note_export(exported, LOCAL_NAME)
        return manifest


def _report_problem(moment: ExportedMoment) -> None:
    if moment.state in ("unproved", "missing"):
        print_message(f"{moment.state}: {moment.id}: {moment.reason}")
