"""Tests refinement on videos whose boundaries are known to the frame, indexed once a second."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.base import Record, Where
from footage.query.moments.full_scan import FullScan
from footage.query.moments.refine import MAX_FRAMES, BoundaryRefiner
from footage.query.values.moment import Moment
from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Clock, Kind, Media, Region
from tests import films
from tests.indexer.color_embedder import COLORS, ColorEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
FPS = 25


class GreenScorer:
    """Probability of a match: how green a picture is."""

    def score_parts(self, vectors):
        return np.asarray(vectors[:, 1], dtype=np.float64) ** 2, np.ones(len(vectors))


def pictures(*shots):
    """Colors, each up to a second of the film."""
    frame = 0
    for color, until in shots:
        while frame < round(until * FPS):
            yield np.full((64, 96, 3), COLORS[color], dtype=np.uint8)
            frame += 1


def film(path, *shots, gop=250):
    return films.encode(path, pictures(*shots), fps=FPS, gop=gop)


async def indexed(store, catalog, path, every=1.0, start=START, camera="yard"):
    await FileIndexer(ColorEmbedder(), store, catalog).run([Job(path, camera, every, start)])


async def found(store, catalog, where=Where()):
    return (await FullScan(store, catalog).all([GreenScorer()], where))[0].moments


async def refined(store, catalog, moments, spans=(), **budget):
    return await BoundaryRefiner(ColorEmbedder(), store, catalog, **budget).refine(moments, GreenScorer(), spans)


def seconds(moment: Moment) -> tuple[float, float]:
    return (moment.start - START).total_seconds(), (moment.end - START).total_seconds()


@pytest.mark.parametrize("gop", [10, 250])
@pytest.mark.parametrize(("start", "end"), [(3.37, 7.61), (4.05, 5.9), (2.96, 9.04), (3.12, 3.12 + 1.2)])
async def test_a_boundary_is_found_to_a_fifth_of_a_second(store, catalog, tmp_path, start, end, gop):
    await indexed(store, catalog, film(tmp_path / "a.mp4", ("red", start), ("green", end), ("blue", 12), gop=gop))
    (coarse,) = await found(store, catalog)
    (fine,) = await refined(store, catalog, [coarse])
    assert fine.refined
    assert seconds(fine.moment) == pytest.approx((start, end), abs=0.2)
    assert max(abs(a - b) for a, b in zip(seconds(coarse), (start, end), strict=True)) > 0.2
    assert fine.moment.start <= fine.moment.best < fine.moment.end


async def test_boundaries_between_distant_records_are_narrowed_repeatedly(store, catalog, tmp_path):
    path = film(tmp_path / "a.mp4", ("red", 33.3), ("green", 64.7), ("red", 90))
    await indexed(store, catalog, path, every=20.0)
    (coarse,) = await found(store, catalog)
    assert seconds(coarse) == (40, 80)
    (fine,) = await refined(store, catalog, [coarse])
    assert fine.refined
    assert seconds(fine.moment) == pytest.approx((33.3, 64.7), abs=0.2)


async def test_a_moment_is_refined_across_files(store, catalog, tmp_path):
    first = film(tmp_path / "a.mp4", ("red", 3.6), ("green", 4))
    await indexed(store, catalog, first)
    second = film(tmp_path / "b.mp4", ("green", 0.4), ("red", 3))
    await indexed(store, catalog, second, start=START + timedelta(seconds=4))
    (coarse,) = await found(store, catalog)
    assert seconds(coarse) == pytest.approx((4, 5), abs=0.001)
    (fine,) = await refined(store, catalog, [coarse])
    assert fine.refined
    assert seconds(fine.moment) == pytest.approx((3.6, 4.4), abs=0.2)


async def test_a_better_frame_between_two_records_becomes_the_best(store, catalog, tmp_path):
    shades = [(0, 255 * min(1.0, 1.2 - abs(i / FPS - 2.5)), 255 * abs(i / FPS - 2.5)) for i in range(6 * FPS)]
    path = films.encode(
        tmp_path / "a.mp4", (np.full((64, 96, 3), np.clip(s, 0, 255), np.uint8) for s in shades), fps=FPS, gop=250
    )
    await indexed(store, catalog, path)
    (coarse,) = await found(store, catalog)
    (fine,) = await refined(store, catalog, [coarse])
    assert (fine.moment.best - START).total_seconds() == pytest.approx(2.5, abs=0.2)
    assert fine.moment.score > coarse.score


async def test_a_moment_without_footage_is_unchanged(store, catalog, tmp_path):
    await indexed(store, catalog, film(tmp_path / "a.mp4", ("red", 3.37), ("green", 7.6), ("red", 10)))
    gate = film(tmp_path / "b.mp4", ("blue", 2.5), ("green", 5.5), ("red", 8))
    await indexed(store, catalog, gate, camera="gate")
    moments = await found(store, catalog)
    (tmp_path / "a.mp4").unlink()
    by_camera = {r.moment.camera: r for r in await refined(store, catalog, moments)}
    assert not by_camera["yard"].refined
    assert by_camera["yard"].moment in moments
    assert by_camera["gate"].refined
    assert seconds(by_camera["gate"].moment) == pytest.approx((2.5, 5.5), abs=0.2)


async def test_a_moment_of_damaged_footage_is_unchanged(store, catalog, tmp_path):
    path = film(tmp_path / "a.mp4", ("red", 3.37), ("green", 7.6), ("red", 10))
    await indexed(store, catalog, path)
    moments = await found(store, catalog)
    path.write_bytes(b"not a film")
    (same,) = await refined(store, catalog, moments)
    assert (same.moment, same.refined) == (moments[0], False)


async def test_a_moment_of_an_unrecorded_feed_is_unchanged(store, catalog):
    media = Media("f" * 16, "yard", "", Kind.FEED, START, Clock.ARRIVAL, 0.0)
    await catalog.add_media(media, "")
    green, red = np.eye(3, dtype=np.float32)[[1, 0]]
    rows = [Record("yard", media.at(s), media.id, s, green if s == 5 else red) for s in range(9)]
    await store.write(rows)
    moments = await found(store, catalog)
    (same,) = await refined(store, catalog, moments)
    assert (same.moment, same.refined) == (moments[0], False)


async def test_no_moment_leaves_the_requested_time(store, catalog, tmp_path):
    await indexed(store, catalog, film(tmp_path / "a.mp4", ("red", 3.2), ("green", 8.7), ("red", 12)))
    spans = ((START + timedelta(seconds=3.5), START + timedelta(seconds=8.3)),)
    (coarse,) = await found(store, catalog, Where((), spans))
    (fine,) = await refined(store, catalog, [coarse], spans)
    assert fine.refined
    assert seconds(fine.moment) == pytest.approx((3.5, 8.3), abs=0.2)
    assert spans[0][0] <= fine.moment.start < fine.moment.end <= spans[0][1]


async def test_a_region_is_scored_as_an_image_of_its_own(store, catalog, tmp_path):
    corner = Region.of(Region(0.0, 0.0, 0.25, 0.25).code)

    def scene():
        for i in range(10 * FPS):
            picture = np.full((128, 192, 3), COLORS["red"], np.uint8)
            if 3.4 <= i / FPS < 6.6:
                picture[:32, :48] = COLORS["green"]
            yield picture

    await indexed(store, catalog, films.encode(tmp_path / "a.mp4", scene(), fps=FPS, gop=250))
    whole = [r async for r in store.scan(Where())]
    green = np.eye(3, dtype=np.float32)[1]
    await store.write([Record(r.camera, r.time, r.media, r.offset, green, corner) for r in whole[4:7]])
    (coarse,) = await found(store, catalog)
    (fine,) = await refined(store, catalog, [coarse])
    assert seconds(fine.moment) == pytest.approx((3.4, 6.6), abs=0.2)
    assert fine.moment.region == corner


async def test_refining_stays_within_its_limits(store, catalog, tmp_path):
    await indexed(store, catalog, film(tmp_path / "a.mp4", ("red", 3.37), ("green", 7.6), ("red", 10)))
    moments = await found(store, catalog)
    embedder = ColorEmbedder()
    await BoundaryRefiner(embedder, store, catalog).refine(moments, GreenScorer())
    assert sum(embedder.batches) <= MAX_FRAMES
    assert max(embedder.batches) <= embedder.batch
    (late,) = await refined(store, catalog, moments, max_seconds=0.0)
    (poor,) = await refined(store, catalog, moments, max_frames=0)
    assert late.moment == poor.moment == moments[0]
    assert not late.refined
    assert not poor.refined


async def test_only_the_footage_around_the_edges_is_read(store, catalog, tmp_path, monkeypatch):
    await indexed(store, catalog, film(tmp_path / "a.mp4", ("red", 60.4), ("green", 90.5), ("red", 120), gop=25))
    moments = await found(store, catalog)
    decoded = []
    inner = VideoFile.decode
    monkeypatch.setattr(VideoFile, "decode", lambda self, *a: decoded.extend(got := inner(self, *a)) or got)
    (fine,) = await refined(store, catalog, moments)
    assert seconds(fine.moment) == pytest.approx((60.4, 90.5), abs=0.2)
    assert 0 < len(decoded) < 12 * FPS  # of 120 seconds
