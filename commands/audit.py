"""``footage audit``: prints who asked what over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from footage.commands.errors import NOTHING, print_message, reports_errors
from footage.commands.options import Config, Data, FromOption, JsonOption, ToOption, resolve_settings
from footage.commands.output import local_time, print_columns


@reports_errors
async def audit(
    start: FromOption = None,
    end: ToOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most entries to show.")] = 100,
    as_json: JsonOption = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show who asked what over HTTP, newest first; exits with 3 when nobody did."""
    import json

    from footage.commands.composition import audit_log

    settings = resolve_settings(config, data=data)
    found = await audit_log(settings).entries(start, end, limit)
    if as_json:
        print(found.model_dump_json(indent=2))
    elif found.entries:
        rows = [("when", "who", "what", "found", "asked")]
        for e in found.entries:
            count = "refused" if e.found is None else str(e.found)
            rows.append((local_time(e.time), e.who, e.what, count, json.dumps(e.asked, ensure_ascii=False)))
        print_columns(rows)
    if not found.entries:
        print_message("nothing was asked over HTTP" if settings.audit else "nothing is kept: the setting audit is off")
        raise typer.Exit(NOTHING)
