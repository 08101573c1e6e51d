"""``footage status``: what is held of each camera."""

from __future__ import annotations

import asyncio

from footage.commands.errors import say
from footage.commands.parts import close_index, open_index
from footage.commands.show import columns, local, size
from footage.config.settings import Settings
from footage.query.http.camera_status import overview
from footage.query.http.schemas import CameraOut, CamerasOut, LoadOut


def run(settings: Settings, as_json: bool) -> None:
    """Print every camera on standard output."""
    held, model = asyncio.run(_run(settings))
    if as_json:
        print(held.model_dump_json(indent=2))
        return
    rows = [("camera", "files", "records", "from", "to", "clock", "now")]
    for c in held.cameras:
        start, end = (local(t) if t else "" for t in (c.start, c.end))
        rows.append((c.camera, str(c.media), str(c.records), start, end, ", ".join(c.clocks), _now(c)))
    columns(rows)
    if held.load:
        print(_load(held.load))
    used = sum(p.stat().st_size for p in settings.data.rglob("*") if p.is_file()) if settings.data.exists() else 0
    say(f"index {settings.data}, {size(used)}, model {model or 'none yet'}")


async def _run(settings: Settings) -> tuple[CamerasOut, str]:
    index = await open_index(settings)
    if index is None:
        return CamerasOut(cameras=[]), ""
    try:
        return await overview(index.store, index.catalog), index.store.space.name
    finally:
        await close_index(index)


def _load(load: LoadOut) -> str:
    text = f"embedding {load.busy:.0%} of the time"
    if load.sustained is not None:
        text += f"; this machine sustains about {load.sustained} cameras like these"
    return f"overloaded: {load.dropped} frames dropped in the last minute; {text}" if load.dropped else text


def _now(c: CameraOut) -> str:
    if c.live is None:
        return ""
    now = f"{c.live.state}, {c.live.recording}" + (f" on {c.live.worker}" if c.live.worker else "")
    if c.live.reconnects or c.live.dropped:
        now += f", {c.live.reconnects} reconnects, {c.live.dropped} frames dropped"
    return f"{now}: {c.live.error}" if c.live.error else now
