"""Tests the cache of finished clips: notes that were cut short, several that clear it at once, footage that is held."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.query.clips import clip as clip_module
from footage.query.clips.clip import Clip
from footage.query.clips.service import ClipService, prune_cache
from footage.query.values.ids import FrameId
from footage.stream.files import frame_at
from footage.stream.frame import Clock, Kind, Media

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def cut(monkeypatch):
    """Replaces cutting by a file of four bytes; counts how often."""
    made = []

    def cut_clip(media, start, end, path, *, precise, play):
        path.write_bytes(b"clip")
        made.append(path)
        return clip(path)

    monkeypatch.setattr(clip_module, "cut_clip", cut_clip)
    return made


def clip(path):
    span = (START, START + SECOND)
    return Clip(path, *span, *span, lead=0.0, precise=False, gaps=(), audio=False, shown=(span,))


@pytest.mark.parametrize("note", [b"", b'{"path": "/x', b"{}"])
def test_a_note_that_was_cut_short_counts_as_absent(cut, tmp_path, note):
    service, path = ClipService(None, None, tmp_path), tmp_path / "a.mp4"
    first = service._cut_cached(path, [], START, START, False, False)
    assert service._cut_cached(path, [], START, START, False, False) == first
    assert len(cut) == 1, "a whole one is reused"
    path.with_suffix(".json").write_bytes(note)
    assert service._cut_cached(path, [], START, START, False, False) == first
    assert service._cut_cached(path, [], START, START, False, False) == first
    assert len(cut) == 2


def test_a_clip_that_was_deleted_and_left_its_note_is_cut_again(cut, tmp_path):
    service, path = ClipService(None, None, tmp_path), tmp_path / "a.mp4"
    service._cut_cached(path, [], START, START, False, False)
    path.unlink()
    service._cut_cached(path, [], START, START, False, False)
    assert path.exists()
    assert len(cut) == 2


def test_many_clear_the_cache_at_once(tmp_path):
    keep = tmp_path / "keep.mp4"
    for name in ["keep", *map(str, range(300))]:
        (tmp_path / f"{name}.mp4").write_bytes(b"1234")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(prune_cache, tmp_path, 8, keep) for _ in range(40)]:
            done.result()
    assert keep.exists()
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 8


async def test_footage_is_held_while_a_picture_is_read_from_it(catalog, store, tmp_path, monkeypatch):
    held, seen = [], []

    @contextmanager
    def hold(path):
        held.append(path)
        yield
        held.remove(path)

    def read(path, *_, written):
        seen.append(list(held))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(frame_at, "read_image_at", read)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"footage")
    media = Media("a" * 16, "yard", str(path), Kind.SEGMENT, START, Clock.GIVEN, 10.0)
    await catalog.add_media(replace(media), "live")
    await ClipService(store, catalog, tmp_path / "clips", hold=hold).get_frame(FrameId("yard", START + SECOND, None))
    assert seen == [[str(path)]]
    assert held == []
