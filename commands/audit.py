"""``footage audit``: who asked what over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import typer

from footage.commands import show
from footage.commands.errors import NOTHING, say
from footage.config.settings import Settings
from footage.query.http.audit import Audit


def kept(settings: Settings) -> Audit:
    """The query log of an index."""
    return Audit(settings.data / "audit", timedelta(seconds=settings.audit_keep))


@asynccontextmanager
async def auditing(settings: Settings) -> AsyncIterator[Audit | None]:
    """Keep the query log while the block runs, and no longer than it is to be kept; None when it is off."""
    audit = kept(settings)
    task = asyncio.create_task(audit.run())
    try:
        yield audit if settings.audit else None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def run(settings: Settings, start: datetime | None, end: datetime | None, limit: int, as_json: bool) -> None:
    """Print entries, newest first."""
    found = asyncio.run(kept(settings).entries(start, end, limit))
    if as_json:
        print(found.model_dump_json(indent=2))
    elif found.entries:
        rows = [("when", "who", "what", "found", "asked")]
        for e in found.entries:
            count = "refused" if e.found is None else str(e.found)
            rows.append((show.local(e.time), e.who, e.what, count, json.dumps(e.asked, ensure_ascii=False)))
        show.columns(rows)
    if not found.entries:
        say("nothing was asked over HTTP" if settings.audit else "nothing is kept: the setting audit is off")
        raise typer.Exit(NOTHING)
