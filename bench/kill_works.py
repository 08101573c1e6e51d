"""What ``bench.kills`` kills: each work, what it needs, and what must be true after a kill and at its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
from tests import films
from tests.indexer.color_embedder import ColorEmbedder

from footage.indexer.embed.base import Space
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.live.retention import Retention
from footage.indexer.migration.migrate import Migration
from footage.indexer.pipeline.pipeline import Pipeline
from footage.indexer.store import lance
from footage.indexer.store.base import CatalogEntry, Record, Where
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.stream.files.decode import read_frames
from footage.stream.frame import Clock
from footage.stream.instants import DISTANT_FUTURE, EPOCH
from footage.stream.recording.archive import SegmentArchive
from footage.stream.recording.recorder import Recorder

Tell = Callable[[int], None]


class OtherEmbedder(ColorEmbedder):
    """Another model, of another space and size of picture."""

    space = Space("test/other", 3)
    side = 48


START = datetime(2026, 5, 4, 12, tzinfo=UTC)
FILM, FPS = 240, 10  # frames, and how many a second
SPEED = 8  # times as fast as it plays a film is recorded
SEGMENTS = 24


@dataclass(frozen=True)
class Work:
    """A work that is killed.

    Attributes:
        steps: before which of them it is killed.
        prepare: makes what it needs in an empty folder.
        run: does it, in a process of its own, and tells each step that is acknowledged.
        check, check_end: what is wrong after a kill and after its end, given all steps that were told.
    """

    steps: int
    prepare: Callable[[Path], Awaitable[None]]
    run: Callable[[Path, int, Tell], Coroutine[Any, Any, None]]
    check: Callable[[Path, list[int]], Awaitable[list[str]]]
    check_end: Callable[[Path, list[int]], Awaitable[list[str]]]


@asynccontextmanager
async def _index(folder: Path) -> Any:
    store = await LanceStore.open(folder / "vectors", ColorEmbedder.space)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    try:
        yield store, catalog
    finally:
        await store.close()
        await catalog.close()


async def _times(store: Any) -> list[tuple[str, datetime]]:
    return [(r.camera, r.time) async for r in store.scan(Where())]


def _compare(found: Sequence[Any], least: set[Any], most: set[Any]) -> list[str]:
    """What is missing of what must be there, is there twice, or is there and must not be."""
    problems = ["a record is there twice"] * (len(found) - len(set(found)))
    problems += ["an acknowledged record is lost"] * len(least - set(found))
    return problems + ["a record is there that must not be"] * len(set(found) - most)


def _write_often(rows: int) -> None:
    """Have pipelines write so many records at once, in place of 256."""
    defaults = Pipeline.__init__.__kwdefaults__
    assert defaults
    defaults["rows"] = rows


def _telling(store: Any, tell: Tell) -> None:
    write, count = store.write, iter(range(1_000_000))

    async def report(records: Sequence[Record]) -> None:
        await write(records)
        tell(next(count))

    store.write = report


# Indexing


async def _make_film(folder: Path) -> None:
    films.encode(folder / "film.mp4", films.numbered(FILM, (96, 64)), fps=FPS, gop=FPS)


async def _run_indexing(folder: Path, _: int, tell: Tell) -> None:
    async with _index(folder) as (store, catalog):
        _telling(store, tell)
        _write_often(8)
        await FileIndexer(ColorEmbedder(0.01), store, catalog).run([Job(folder / "film.mp4", "yard", 0.1, START)])


def _film_times() -> set[tuple[str, datetime]]:
    return {("yard", START + i * timedelta(seconds=1) / FPS) for i in range(FILM)}


async def _check_indexing(folder: Path, _: list[int]) -> list[str]:
    async with _index(folder) as (store, catalog):
        found = await _times(store)
        covered = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
        late = [c for c in covered if found and c.state.value == "watched" and c.end > max(found)[1] + timedelta(1)]
        lost = ["damage: " + damage] if (damage := await store.find_damage()) else []
        return _compare(found, set(), _film_times()) + lost + ["covered and not indexed"] * len(late)


async def _check_indexed(folder: Path, _: list[int]) -> list[str]:
    async with _index(folder) as (store, _catalog):
        return _compare(await _times(store), _film_times(), _film_times())


# Recording


async def _run_recording(folder: Path, run: int, tell: Tell) -> None:
    begin = START + run * timedelta(minutes=2)
    recorder = _recorder(folder, lambda _: None)
    with av.open(str(folder / "film.mp4")) as container:
        stream = container.streams.video[0]
        recorder.begin([stream], Clock.ARRIVAL)
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            at = float(packet.pts * packet.time_base)  # type: ignore[operator]
            recorder.packet(packet, begin + timedelta(seconds=at), packet.is_keyframe)
            tell(1000 * run + number)
            await asyncio.sleep(1 / FPS / SPEED)
    recorder.end()


def _recorder(folder: Path, closed: Callable[[Any], None], length: float = 3.0) -> Recorder:
    return Recorder(
        folder / "recordings",
        "yard",
        length=length,
        on_opened=lambda _: None,
        on_closed=closed,
        has_room=lambda: True,
    )


async def _check_recording(folder: Path, told: list[int]) -> list[str]:
    """Every frame until a second and a half before the kill is there, in its order, and can be decoded."""
    archive, problems = SegmentArchive(folder / "recordings"), []
    archive.recover()
    for run in {number // 1000 for number in told}:
        begin = START + run * timedelta(minutes=2)
        media = [m for m in archive.segments("yard") if begin <= m.start < begin + timedelta(minutes=2)]
        shown = [films.number(f.image) for m in media for f in read_frames(m, every=0, side=64)]
        last = max(number % 1000 for number in told if number // 1000 == run)
        problems += ["frames are out of order or missing"] * (shown != list(range(len(shown))))
        problems += ["more than 1.5 s are lost"] * (len(shown) < last - 1.5 * FPS)
    return problems


# Maintenance


async def _nothing(_: Path) -> None:
    return


async def _run_maintenance(folder: Path, run: int, tell: Tell) -> None:
    lance.MAX_FRAGMENTS, lance.MAX_VERSION_AGE, lance.CACHE_AGE = 4, 0, 0.0
    lance.CLEANUP_GRACE = lance.NO_GRACE
    async with _index(folder) as (store, _):
        for batch in range(1000 * run, 1000 * run + 40):
            await store.write(_batch(batch))
            tell(batch)
            if batch % 3 == 2:
                await store.maintain()


def _batch(number: int) -> list[Record]:
    vector = np.array([1, 0, 0], np.float32)
    times = [START + timedelta(seconds=3 * number + i) for i in range(3)]
    return [Record("yard", at, "m" * 16, (at - START).total_seconds(), vector) for at in times]


async def _check_maintenance(folder: Path, told: list[int]) -> list[str]:
    async with _index(folder) as (store, _):
        least = {("yard", r.time) for number in told for r in _batch(number)}
        begun = {n + 1 for n in told} | {1000 * run for run in range(100)}  # the one that was under way
        most = least | {("yard", r.time) for number in begun for r in _batch(number)}
        lost = ["damage: " + damage] if (damage := await store.find_damage()) else []
        return _compare(await _times(store), least, most) + lost


# Migration


async def _prepare_migration(folder: Path) -> None:
    await _make_film(folder)
    async with _index(folder) as (store, catalog):
        await FileIndexer(ColorEmbedder(), store, catalog).run([Job(folder / "film.mp4", "yard", 0.2, START)])


async def _run_migration(folder: Path, _: int, tell: Tell) -> None:
    _write_often(4)
    async with _index(folder) as (source, catalog):
        target = await LanceStore.open(folder / "vectors", OtherEmbedder.space)
        _telling(target, tell)
        report = await Migration(source, target, catalog, OtherEmbedder(0.01)).run()
        assert report.complete
        await target.close()


async def _check_migration(folder: Path, _: list[int]) -> list[str]:
    return await _compare_spaces(folder, whole=False)


async def _check_migrated(folder: Path, _: list[int]) -> list[str]:
    return await _compare_spaces(folder, whole=True)


async def _compare_spaces(folder: Path, whole: bool) -> list[str]:
    async with _index(folder) as (source, _):
        target = await LanceStore.open(folder / "vectors", OtherEmbedder.space)
        old, new = await _times(source), await _times(target)
        await target.close()
    problems = ["records of the old model are lost"] * (len(old) != FILM // 2)
    return problems + _compare(new, set(old) if whole else set(), set(old))


# Retention


async def _prepare_retention(folder: Path) -> None:
    await _make_film(folder)
    closed: list[Any] = []
    recorder = _recorder(folder, closed.append, length=1.0)
    with av.open(str(folder / "film.mp4")) as container:
        stream = container.streams.video[0]
        recorder.begin([stream], Clock.ARRIVAL)
        for packet in (p for p in container.demux(stream) if p.size):
            at = START + timedelta(seconds=float(packet.pts * packet.time_base))  # type: ignore[operator]
            recorder.packet(packet, at, packet.is_keyframe)
        recorder.end()
    async with _index(folder) as (store, catalog):
        for media in closed:
            await catalog.add_media(media, "live")
            records = [
                Record("yard", media.start + i * timedelta(seconds=0.2), media.id, 0.2 * i, np.array([1, 0, 0], "f4"))
                for i in range(3)
            ]
            await store.write(records)


async def _run_retention(folder: Path, _: int, tell: Tell) -> None:
    async with _index(folder) as (store, catalog):
        retention = Retention(
            store, catalog, SegmentArchive(folder / "recordings"), {"yard": timedelta(hours=1)}, None, 0
        )
        first = SEGMENTS - len(list(SegmentArchive(folder / "recordings").segments("yard")))  # deleted already
        for step in range(max(0, first - 1), SEGMENTS // 2):
            await retention.delete_expired(START + timedelta(hours=1, seconds=step + 1.5))
            tell(step)


def _is_there(entry: CatalogEntry) -> bool:
    return Path(entry.media.path).exists()


async def _check_retention(folder: Path, _: list[int]) -> list[str]:
    """No record without its footage, and nothing is gone that has not expired."""
    async with _index(folder) as (store, catalog):
        records = [r async for r in store.scan(Where())]
        entries = await catalog.media(list({r.media for r in records}))
    problems = ["a record without an entry"] * len({r.media for r in records} - set(entries))
    files = Counter(map(_is_there, entries.values()))
    kept = len(list(SegmentArchive(folder / "recordings").segments("yard")))
    problems += ["a record without its footage"] * files[False]
    return problems + ["footage is gone that has not expired"] * (kept < SEGMENTS - SEGMENTS // 2 - 1)


async def _check_retained(folder: Path, _: list[int]) -> list[str]:
    last = START + timedelta(seconds=SEGMENTS // 2 + 0.5)
    async with _index(folder) as (store, _catalog):
        records = [r async for r in store.scan(Where())]
    segments = list(SegmentArchive(folder / "recordings").segments("yard"))
    late = [m for m in segments if m.end < last - timedelta(seconds=0.2)]
    problems = ["footage that has expired is still there"] * len(late)
    lost = {m.id for m in segments if m.start >= last} - {r.media for r in records}
    return problems + ["records are gone whose footage has not expired"] * len(lost)


WORKS = {
    "indexing": Work(20, _make_film, _run_indexing, _check_indexing, _check_indexed),
    "recording": Work(FILM, _make_film, _run_recording, _check_recording, _check_recording),
    "maintenance": Work(40, _nothing, _run_maintenance, _check_maintenance, _check_maintenance),
    "migration": Work(20, _prepare_migration, _run_migration, _check_migration, _check_migrated),
    "retention": Work(6, _prepare_retention, _run_retention, _check_retention, _check_retained),
}
