"""``footage export``: many moments to one zip for review."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from pydantic import BaseModel, ValidationError

from footage.commands.errors import FAILED, NOTHING, say
from footage.commands.parts import clips, close_index, no_index, open_index
from footage.config.settings import Settings
from footage.query.clips.service import Cutter
from footage.query.export.archive import Asked, in_order, save
from footage.query.export.manifest import Manifest, Row, Wanted


class Answered(BaseModel):
    """What is read of an answer of ``footage search --json``."""

    moments: list[Wanted]
    query: str = ""


def run(settings: Settings, moments: Sequence[str], out: Path, precise: bool, pad: float, query: str) -> None:
    """Export, and tell what is not proved; exit with 1 when there is such, with 3 when nothing can be exported."""
    asked = given(sys.stdin.read(), precise, pad, query) if list(moments) == ["-"] else None
    asked = asked or Asked(in_order(Wanted(id=m) for m in moments), query, {}, pad, precise)
    made = asyncio.run(_run(settings, asked, out)) if asked.moments else None
    if made is None:
        say("nothing could be exported")
        raise typer.Exit(NOTHING)
    print(out)
    say(", ".join(f"{count} {state}" for state, count in made.counts.items()) + f"; {out} tells of each")
    if made.counts.keys() & {"unproved", "missing"}:
        raise typer.Exit(FAILED)


def given(text: str, precise: bool, pad: float, query: str) -> Asked:
    """What standard input asks for: the JSON answer of a search, or ids.

    Raises:
        typer.BadParameter: neither.
        query.ids.BadId: one is not a moment's id.
    """
    if not text.lstrip().startswith("{"):
        return Asked(in_order(Wanted(id=m) for m in text.split()), query, {}, pad, precise)
    try:
        answer = Answered.model_validate_json(text)
    except ValidationError:
        raise typer.BadParameter("standard input is not the answer of: footage search --json") from None
    return Asked(in_order(answer.moments), query or answer.query, {}, pad, precise)


async def _run(settings: Settings, asked: Asked, out: Path) -> Manifest | None:
    index = await open_index(settings)
    if index is None:
        raise no_index(settings)
    try:
        return await save(Cutter(index.store, index.catalog, clips(settings)), asked, out, _tell)
    finally:
        await close_index(index)


def _tell(row: Row) -> None:
    if row.state in ("unproved", "missing"):
        say(f"{row.state}: {row.id}: {row.reason}")
