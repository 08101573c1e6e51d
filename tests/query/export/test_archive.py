"""Tests exports as a reviewer opens them: with zipfile, hashlib, and a separate decoder."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
from PIL import Image as Pillow

from footage.query.clips.service import ClipService
from footage.query.export.archive import ExportRequest, save_export, sort_moments
from footage.query.export.manifest import ExportedMoment, Manifest, Wanted
from footage.query.values.ids import MomentId
from footage.stream.frame import Kind, Media, Region
from tests import films
from tests.query.clips.numbered_videos import RATE, START, Recipe, make_video, read_numbered_frames
from tests.query.clips.test_clip import COPIED, FRAGMENTS, make_segments


def moment(camera: str, start: float, best: float, end: float, region: Region | None = None) -> MomentId:
    a, b, c = (START + timedelta(seconds=s) for s in (start, end, best))
    return MomentId(camera, a, b, c, region)


class ExportHarness:
    """A catalog of generated videos, exports of them, and the unpacked content."""

    def __init__(self, store: Any, catalog: Any, folder: Path) -> None:
        self.catalog, self.folder, self.clips = catalog, folder, folder / "clips"
        self.service = ClipService(store, catalog, self.clips)
        self.zip = folder / "review.zip"
        self.reported: list[ExportedMoment] = []

    async def add_media(self, *media: Media, camera: str = "yard") -> list[Media]:
        named = [replace(m, camera=camera, id=hashlib.sha256(m.path.encode()).hexdigest()[:16]) for m in media]
        for one in named:
            await self.catalog.add_media(one, "test")
        return named

    async def export(self, *moments: MomentId, **asked: Any) -> Manifest | None:
        found = sort_moments(Wanted(id=str(m), score=0.5) for m in moments)
        return await save_export(self.service, ExportRequest(found, **asked), self.zip, self.reported.append)

    def unpack(self) -> tuple[Path, dict[str, Any]]:
        """Unpacks the export and checks its checksums; returns the folder and the manifest."""
        folder = self.folder / "unpacked"
        shutil.rmtree(folder, ignore_errors=True)
        with ZipFile(self.zip) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert names[-1] == "manifest.json"
            assert all(archive.getinfo(n).compress_type == ZIP_STORED for n in names if n.endswith((".mp4", ".jpg")))
            archive.extractall(folder)
        manifest = json.loads((folder / "manifest.json").read_bytes())
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        sums = {name: total for total, name in (line.split("  ", 1) for line in lines)}
        assert set(sums) == set(names) - {"SHA256SUMS"}
        for name, total in sums.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == total
        for one in [*files(manifest["moments"]), *manifest["files"]]:
            assert (one["sha256"], one["bytes"]) == (sums[one["name"]], (folder / one["name"]).stat().st_size)
        return folder, manifest


def files(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row[part] for row in rows for part in ("clip", "picture") if row[part]]


def displayed_number(folder: Path, row: dict[str, Any]) -> int:
    """Returns the number of the frame that a player shows at the stated offset."""
    frames = read_numbered_frames(folder / row["clip"]["name"])
    at = frames[0][0] + row["best_frame"]["offset_ms"] / 1000
    return [number for time, number in frames if time <= at][-1]


@pytest.fixture
def harness(store: Any, catalog: Any, tmp_path: Path) -> ExportHarness:
    return ExportHarness(store, catalog, tmp_path)


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("name", ["mp4", "late origin, Matroska", "open groups", "HEVC"])
async def test_the_best_frame_is_in_the_clip_where_the_manifest_says(
    name: str, precise: bool, harness: ExportHarness
) -> None:
    file, recipe = COPIED[name]
    await harness.add_media(make_video(harness.folder / file, recipe))
    assert await harness.export(moment("yard", 3.7, 4.1, 5.2), moment("yard", 8, 8, 8), precise=precise, pad=1.5)
    folder, manifest = harness.unpack()
    for row, number in zip(manifest["moments"], (4.1 * RATE, 8 * RATE), strict=True):
        assert row["state"] == "proved"
        assert abs(displayed_number(folder, row) - number) <= 1
        assert row["clip"]["precise"] == precise
        proof = row["best_frame"]
        assert proof["found"]
        assert proof["difference"] <= (proof["limit"] if precise else 0)
    assert manifest["counts"] == {"proved": 2}


async def test_a_row_describes_its_moment(harness: ExportHarness) -> None:
    (media,) = await harness.add_media(make_video(harness.folder / "video.mp4"))
    await harness.export(moment("yard", 3.7, 4, 5.2), query="a dog", filters={"camera": ["yard"]}, pad=1)
    _, manifest = harness.unpack()
    assert (manifest["query"], manifest["filters"], manifest["pad"]) == ("a dog", {"camera": ["yard"]}, 1)
    assert manifest["time_zone"].startswith("UTC")
    assert "sha256sum -c SHA256SUMS" in manifest["check"]
    (row,) = manifest["moments"]
    assert (row["camera"], row["clock"], row["score"]) == ("yard", "given", 0.5)
    assert (row["start"], row["best"]) == ("2026-05-04T12:00:03.700000Z", "2026-05-04T12:00:04Z")
    assert row["media"] == {"id": media.id, "offset": 4.0}
    clip = row["clip"]
    assert (clip["requested_start"], clip["start"]) == ("2026-05-04T12:00:02.700000Z", "2026-05-04T12:00:02Z")
    assert row["best_frame"]["offset_ms"] == 2000


async def test_moments_are_numbered_by_time_and_each_comes_once(harness: ExportHarness) -> None:
    await harness.add_media(make_video(harness.folder / "video.mp4"))
    await harness.add_media(make_video(harness.folder / "gate.mp4"), camera="gate")
    late, early, gate = moment("yard", 9, 9, 10), moment("yard", 1, 1, 2), moment("gate", 5, 5, 6)
    await harness.export(late, early, gate, late)
    folder, manifest = harness.unpack()
    assert (
        [row["id"] for row in manifest["moments"]]
        == [str(early), str(gate), str(late)]
        == [r.id for r in harness.reported]
    )
    assert sorted(path.name for path in folder.glob("*.mp4")) == [
        "001_yard_20260504T120001Z.mp4",
        "002_gate_20260504T120005Z.mp4",
        "003_yard_20260504T120009Z.mp4",
    ]


@pytest.mark.parametrize("precise", [False, True])
async def test_gaps_before_the_best_frame_are_counted(precise: bool, harness: ExportHarness) -> None:
    await harness.add_media(*make_segments(harness.folder, Recipe(container=FRAGMENTS), 0, 4, 8.5))
    await harness.export(moment("yard", 3, 10.5, 11), pad=1, precise=precise)
    folder, manifest = harness.unpack()
    (row,) = manifest["moments"]
    assert (row["state"], row["clip"]["gaps"]) == ("proved", [["2026-05-04T12:00:08Z", "2026-05-04T12:00:08.500000Z"]])
    assert abs(displayed_number(folder, row) - 10.5 * RATE) <= 1


async def test_missing_footage_is_reported_and_the_rest_is_exported(harness: ExportHarness) -> None:
    old, new = await harness.add_media(*make_segments(harness.folder, Recipe(), 0, 60))
    Path(old.path).unlink()
    gone, there = moment("yard", 1, 1, 2), moment("yard", 61, 61, 62)
    assert await harness.export(gone, there, moment("roof", 2, 2, 3))
    _, manifest = harness.unpack()
    assert manifest["counts"] == {"proved": 1, "missing": 2}
    first, second, third = manifest["moments"]
    assert (first["state"], first["clip"], first["picture"], first["clock"]) == ("missing", None, None, None)
    assert "expired" in first["reason"]
    assert "no footage of camera 'roof'" in second["reason"]
    assert third["clip"]["name"] == "003_yard_20260504T120101Z.mp4"
    Path(new.path).unlink()
    harness.zip.unlink()
    assert await harness.export(gone, there) is None
    assert not list(harness.folder.glob("*review*"))
    assert len(harness.reported) == 5


async def test_a_clip_that_does_not_show_its_moment_is_reported(harness: ExportHarness) -> None:
    """The cached clip is replaced, or damaged, between cutting and exporting."""
    await harness.add_media(make_video(harness.folder / "video.mp4"))
    await harness.export(moment("yard", 2, 2.5, 3))
    (clip,) = harness.clips.glob("*.mp4")
    make_video(clip, Recipe(first=900))
    manifest = await harness.export(moment("yard", 2, 2.5, 3))
    assert manifest
    assert manifest.counts == {"unproved": 1}
    _, content = harness.unpack()
    (row,) = content["moments"]
    assert row["best_frame"]["found"] is False
    assert row["best_frame"]["difference"] > row["best_frame"]["limit"]
    assert "is not the picture" in row["reason"]
    films.truncate(clip, 0.2)
    await harness.export(moment("yard", 2, 2.5, 3))
    _, content = harness.unpack()
    assert content["moments"][0]["best_frame"]["difference"] is None
    assert "can be decoded" in content["moments"][0]["reason"]


async def test_a_photograph_has_a_picture_and_no_clip(harness: ExportHarness) -> None:
    Pillow.fromarray(films.photograph("cat")).save(harness.folder / "cat.jpg")
    media = replace(
        make_video(harness.folder / "any.mp4"), path=str(harness.folder / "cat.jpg"), kind=Kind.PHOTO, duration=0.0
    )
    await harness.add_media(media)
    manifest = await harness.export(moment("yard", 0, 0, 0))
    assert manifest
    assert manifest.counts == {"photograph": 1}
    folder, content = harness.unpack()
    picture = np.asarray(Pillow.open(folder / content["moments"][0]["picture"]["name"]), dtype=float)
    assert np.abs(picture - films.photograph("cat")).mean() < 3


class PageParser(HTMLParser):
    """Collects the tags and the links of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "poster")]

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_is_self_contained_and_runs_no_script(harness: ExportHarness) -> None:
    await harness.add_media(make_video(harness.folder / "video.mp4", Recipe(size=(640, 480))))
    marked = moment("yard", 2, 2.5, 3, Region(0.25, 0.25, 0.5, 0.5))
    evil = "<script>alert('1')</script>\"&"
    await harness.export(marked, moment("roof", 1, 1, 2), query=evil, filters={"<img src=x>": "<b>"})
    folder, manifest = harness.unpack()
    page = PageParser((folder / "index.html").read_text())
    assert evil in page.text
    assert "<img src=x>: <b>" in page.text
    assert "script" not in page.tags
    assert page.tags.count("article") == 2
    assert sum(link.startswith("data:image/jpeg;base64,") for link in page.links) == 1
    local = [link.split("#")[0] for link in page.links if not link.startswith("data:")]
    assert {row["name"] for row in files(manifest["moments"])} < set(local)
    assert all((folder / link).is_file() for link in local)
    assert "2026-05-04T12:00:02Z" in page.text


async def test_a_cancelled_export_leaves_no_file(harness: ExportHarness) -> None:
    await harness.add_media(make_video(harness.folder / "video.mp4"))
    harness.zip.write_bytes(b"an earlier one")
    found = sort_moments(Wanted(id=str(moment("yard", s, s, s + 1))) for s in (1, 5))
    task = asyncio.ensure_future(
        save_export(harness.service, ExportRequest(found), harness.zip, lambda _: task.cancel() and None)
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    assert harness.zip.read_bytes() == b"an earlier one"
    assert list(harness.folder.glob("*review*")) == [harness.zip]
