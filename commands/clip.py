"""``footage clip``: a moment to an MP4 file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from footage.commands.errors import say
from footage.commands.parts import clips, close_index, no_index, open_index
from footage.commands.show import local
from footage.config.settings import Settings
from footage.query.clips.clip import Clip
from footage.query.clips.service import Cutter
from footage.query.values.ids import MomentId


def run(settings: Settings, moment: str, out: Path, precise: bool, pad: float) -> None:
    """Cut, and tell what was asked and what was cut."""
    made = asyncio.run(_run(settings, MomentId.parse(moment), out, precise, pad))
    print(made.path)
    say(told(made))


async def _run(settings: Settings, moment: MomentId, out: Path, precise: bool, pad: float) -> Clip:
    index = await open_index(settings)
    if index is None:
        raise no_index(settings)
    try:
        return await Cutter(index.store, index.catalog, clips(settings)).clip(moment, out, precise=precise, pad=pad)
    finally:
        await close_index(index)


def told(made: Clip) -> str:
    """One sentence on where the clip really starts and ends."""
    length = (made.end - made.start).total_seconds()
    text = f"{length:.1f} s from {local(made.start)}"
    if made.lead >= 0.05:
        text += f", {made.lead:.1f} s before the start asked for: a copy starts at a keyframe; --precise cuts exactly"
    holes = sum(made.start <= a and b <= made.end for a, b in made.gaps)
    outside = sum((b - a).total_seconds() for a, b in made.gaps if a < made.start or made.end < b)
    if holes:
        text += f"; {holes} hole{'s' * (holes != 1)} in the footage"
    if outside:
        text += f"; {outside:.1f} s of what was asked for lie before or after the footage"
    return text
