"""``footage clip``: cuts a moment to an MP4 file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from footage.commands.errors import print_message, reports_errors
from footage.commands.options import Config, Data, resolve_settings
from footage.commands.output import describe_clip


@reports_errors
async def clip(
    moment: Annotated[str, typer.Argument(help="A moment's id, from a search.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("clip.mp4"),
    precise: Annotated[bool, typer.Option("--precise", help="Re-encode: exact to the frame.")] = False,
    pad: Annotated[float, typer.Option("--pad", min=0, max=600, help="Seconds before and after.")] = 2.0,
    data: Data = None,
    config: Config = None,
) -> None:
    """Cut a moment to an MP4 file, with its sound."""
    from footage.commands.composition import clip_cache, open_index, reach_cluster
    from footage.commands.peers import open_peers
    from footage.commands.protected_files import check_output
    from footage.query.clips.service import ClipService
    from footage.query.values.ids import MomentId

    settings = resolve_settings(config, data=data)
    wanted = MomentId.parse(moment)
    async with open_index(settings) as index, open_peers(settings, index.catalog) as peers:
        await check_output(settings, index.catalog, out)
        clips = reach_cluster(ClipService(index.store, index.catalog, clip_cache(settings)), peers)
        cut = await clips.get_clip(wanted, out, precise=precise, pad=pad)
    print(cut.path)
    print_message(describe_clip(cut))
