"""``footage watch``: queries that stand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from footage.commands import show
from footage.commands.errors import NOTHING, say
from footage.commands.parts import Index, Parts, close_index, has_index, no_index, open_index, opened
from footage.config.settings import Settings, SettingsError
from footage.query.clips.service import Gone
from footage.query.http.watch_schemas import BacktestOut, WatchesOut, listed, made
from footage.query.watches import watch as kept
from footage.query.watches.alert import Firing
from footage.query.watches.backtest import Backtest, backtest
from footage.query.watches.egress import Inside, check_now
from footage.query.watches.scoring import Scorer
from footage.query.watches.watch import Watch, WatchError
from footage.query.watches.webhook import discard
from footage.stream.files import frame_at, image_file
from footage.stream.files.video_file import MediaError


def add(settings: Settings, fields: Mapping[str, Any], photograph: Path | None) -> None:
    """Keep a watch; a service that runs takes it up within seconds."""
    given = {k: v for k, v in fields.items() if v is not None}
    if photograph is not None:
        given |= {"text": given.get("text") or photograph.name}
    try:
        watch = made(given)
    except WatchError as error:
        raise SettingsError(str(error)) from None
    asyncio.run(_add(settings, watch, photograph))
    where = f" on {', '.join(watch.cameras)}" if watch.cameras else ""
    say(f"watch '{watch.name}' stands{where}; footage serve evaluates it on live cameras")


async def _add(settings: Settings, watch: Watch, photograph: Path | None) -> None:
    index = await _index(settings)
    try:
        if watch.webhook and not watch.allow_private:
            await check_now(watch.webhook)
        if photograph is not None:
            watch = await _pictured(settings, watch, photograph)
        known = {c.camera for c in await index.catalog.cameras()} | {c.name for c in settings.cameras}
        if unknown := set(watch.cameras) - known:
            raise SettingsError(f"there is no camera '{min(unknown)}'; there are: {', '.join(sorted(known))}")
        await kept.keep(index.catalog, watch, new=True)
    except (Inside, WatchError) as error:
        raise SettingsError(str(error)) from None
    finally:
        await close_index(index)


async def _pictured(settings: Settings, watch: Watch, photograph: Path) -> Watch:
    async with opened(settings) as parts:
        embedder = parts.embedder
        vector = (await embedder.images([image_file.load(photograph, embedder.side)]))[0]
        return watch.model_copy(update={"vector": kept.packed(vector), "space": embedder.space.name})


async def _index(settings: Settings) -> Index:
    index = await open_index(settings)
    if index is None:
        raise no_index(settings)
    return index


def show_all(settings: Settings, as_json: bool) -> None:
    """Print every watch on standard output, and how its deliveries go."""
    found = asyncio.run(_listed(settings))
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    rows = [("watch", "looks for", "cameras", "when", "threshold", "webhook", "now")]
    for w in found.watches:
        when = " ".join(filter(None, (w.days, w.hours))) or "always"
        now = "paused" if w.paused else "stands"
        if w.waiting or w.undelivered:
            now += f", {w.waiting} waiting, {w.undelivered} undelivered: {w.error}"
        rows.append((w.name, w.text, ", ".join(w.cameras) or "all", when, f"{w.threshold:g}", w.webhook or "none", now))
    show.columns(rows)


async def _listed(settings: Settings) -> WatchesOut:
    index = await _index(settings)
    try:
        return WatchesOut(watches=await listed(index.catalog))
    finally:
        await close_index(index)


def change(settings: Settings, name: str, what: str) -> None:
    """``pause``, ``resume`` or ``remove`` a watch."""
    asyncio.run(_change(settings, name, what))
    say(f"watch '{name}' " + {"pause": "is paused", "resume": "goes on", "remove": "is removed"}[what])


async def _change(settings: Settings, name: str, what: str) -> None:
    index = await _index(settings)
    try:
        if what == "remove":
            watch = await kept.one(index.catalog, name)
            await kept.remove(index.catalog, name)
            await discard(index.catalog, watch.id)
        else:
            await kept.pause(index.catalog, name, what == "pause")
    except WatchError as error:
        raise SettingsError(str(error)) from None
    finally:
        await close_index(index)


def test(
    settings: Settings,
    name: str,
    span: tuple[datetime, datetime],
    threshold: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print when a watch would have fired; exit with 3 when it would not have."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    found = asyncio.run(_test(settings, name, span, threshold, out))
    if as_json:
        print(BacktestOut.of(found).model_dump_json(indent=2))
    elif found.firings:
        rows = [("score", "camera", "start", "length", "moment")]
        for f in found.firings:
            m = f.moment
            length = f"{(m.end - m.start).total_seconds():.1f} s"
            rows.append((f"{f.score:.2f}", m.camera, show.local(m.start), length, str(m)))
        show.columns(rows)
    counts = ", ".join(f"{n} at {t:g}" for t, n in found.counts.items()) or "never"
    say(f"{found.frames} frames; it would have fired: {counts}")
    if not found.firings:
        raise typer.Exit(NOTHING)


async def _test(
    settings: Settings, name: str, span: tuple[datetime, datetime], threshold: float | None, out: Path | None
) -> Backtest:
    if not has_index(settings):
        raise no_index(settings)
    async with opened(settings) as parts:
        try:
            watch = await kept.one(parts.catalog, name)
            if threshold is not None:
                watch = watch.model_copy(update={"threshold": threshold})
            scorer = Scorer(parts.embedder, parts.store, parts.bank)
            found = await backtest(scorer, parts.store, parts.catalog, watch, *span)
        except WatchError as error:
            raise SettingsError(str(error)) from None
        if out is not None:
            await _pictures(parts, found.firings, out)
        return found


async def _pictures(parts: Parts, firings: list[Firing], out: Path) -> None:
    """The best frame of each firing, best score first in order of name."""
    lost = 0
    for f in firings:
        try:
            image = await parts.cutter.frame(f.moment.frame, side=720)
        except (Gone, MediaError):
            lost += 1
            continue
        file = out / f"{f.score:.3f}-{f.moment.camera}-{f.moment.best:%Y%m%dT%H%M%S.%fZ}.jpg"
        file.write_bytes(frame_at.jpeg(image))
    gone = f"; of {lost} the footage is gone" if lost else ""
    say(f"{len(firings) - lost} pictures are in {out}{gone}")
