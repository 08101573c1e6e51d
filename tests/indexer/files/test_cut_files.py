"""Tests files of each kind that were cut at every percent, or of which bytes were flipped, indexed in one run."""

import logging
import os
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.base import CoverageState, Where
from footage.stream.instants import DISTANT_FUTURE, EPOCH
from tests import films
from tests.indexer.color_embedder import ColorEmbedder
from tests.stream.files.test_hostile_video import memory_mb, start_peak

START = datetime(2026, 5, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)
VIDEOS = ("mp4", "front.mp4", "ts", "mkv", "avi")  # of the second one the index is in front
PICTURES = ("jpg", "png", "webp")
FLIPPED = 25
"""Variants of each kind with flipped bytes, half of them at the beginning."""


def make(folder, kind):
    """The content of a whole file: a video of three seconds, ten frames each, or a photograph."""
    path = folder / f"whole.{kind}"
    if kind in PICTURES:
        Image.fromarray(np.asarray(films.photograph("coffee", (160, 120)))).save(path)
    else:
        options = {"fflags": "+bitexact"} | ({"movflags": "faststart"} if kind.startswith("front") else {})
        films.encode(path, films.numbered(30, (96, 64)), fps=10, gop=10, bframes=0, options=options)
    return path.read_bytes()


def variants(whole, kind):
    """Yields names and contents: whole, cut at each percent, flipped."""
    chance = random.Random(kind)
    yield "whole", whole
    for percent in range(100):
        yield f"cut{percent:02}", whole[: len(whole) * percent // 100]
    for number in range(FLIPPED):
        content = bytearray(whole)
        end = len(content) if number % 2 else min(400, len(content))
        for _ in range(chance.choice([1, 4, 40])):
            content[chance.randrange(end)] ^= 1 << chance.randrange(8)
        yield f"flip{number:02}", bytes(content)


@pytest.mark.slow
async def test_cut_and_flipped_files_are_indexed_as_far_as_they_go_or_named(store, catalog, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    jobs = []
    for kind in (*VIDEOS, *PICTURES):
        for name, content in variants(make(tmp_path, kind), kind):
            path = tmp_path / f"{name}.{kind}"
            path.write_bytes(content)
            time = START + timedelta(minutes=len(jobs))
            os.utime(path, (time.timestamp(), time.timestamp()))
            jobs.append(Job(path, f"{name[:3]}-{kind}", 1.0, time))
    before = start_peak()
    report = await FileIndexer(ColorEmbedder(), store, catalog).run(jobs)
    assert memory_mb("VmHWM") - before < 1000, "the whole run takes a fifth of that"
    assert report.done == len(jobs) == 8 * (1 + 100 + FLIPPED)
    assert "Traceback" not in caplog.text
    entries = {e.media.path: e for e in await catalog.media_between([], EPOCH, DISTANT_FUTURE)}
    newest = defaultdict(lambda: EPOCH)
    async for record in store.scan(Where()):
        newest[record.media] = max(newest[record.media], record.time)
    counts = Counter()
    for job in jobs:
        path, kind = str(job.path), job.path.name.split(".", 1)
        counts[kind[1], kind[0][:3], path in report.failed] += 1
        if path in report.failed:
            assert path in report.failed[path]
            continue
        entry = entries[path]
        assert entry.done
        assert entry.media.id in newest, path
        assert kind[0] != "whole" or path not in report.damaged
        watched = [
            c
            for c in await catalog.coverage([job.camera], job.start, job.start + timedelta(minutes=1))
            if c.state is CoverageState.WATCHED
        ]
        last = max((c.end for c in watched), default=job.start)
        assert last <= newest[entry.media.id] + 2.5 * SECOND, path  # samples are at most two seconds apart
    assert not [path for path in report.failed if "/whole." in path]
    for kind in (*VIDEOS, *PICTURES):
        read, refused = counts[kind, "cut", False], counts[kind, "cut", True]
        flips = counts[kind, "fli", False], counts[kind, "fli", True]
        print(f"{kind}: of 100 cut {read} read, {refused} refused; of {FLIPPED} flipped {flips[0]}, {flips[1]}")
        assert refused >= 1  # the empty one
