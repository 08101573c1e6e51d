"""Contract tests of every ``Catalog``: backend tests inherit ``CatalogContract`` and provide ``opening``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import CameraSummary, Catalog, CatalogEntry, Coverage, CoverageState
from footage.indexer.store.errors import SpaceMismatch, StoreError
from footage.stream.frame import Clock, Kind, Media
from tests.indexer.store.documents_contract import DocumentsContract, Opening

SPACE = Space("test/one", 4)
START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
FINGERPRINT = np.array([0.6, 0.8, 0, 0, 0, 0, 0.6, 0.8], "<f4")
STEP = timedelta(microseconds=10)


def at(second: float) -> datetime:
    """Return the time this many seconds after ``START``."""
    return START + timedelta(seconds=second)


def video(id: str, start: float = 0, duration: float = 60, camera: str = "gate", clock: Clock = Clock.GIVEN) -> Media:
    """Return a media: a video, or a photograph when it has no duration."""
    kind = Kind.VIDEO if duration else Kind.PHOTO
    return Media(id, camera, f"/videos/{id}.mp4", kind, at(start), clock, duration)


def span(start: float, end: float, cause: str = "", camera: str = "gate") -> Coverage:
    """Return coverage: watched, or a gap when a cause is given."""
    return Coverage(camera, at(start), at(end), CoverageState.GAP if cause else CoverageState.WATCHED, cause)


class CatalogContract(DocumentsContract):
    """The tests; each opens the same, initially empty catalog, as often as it needs.

    A backend's class has a fixture ``opening``: a function that opens the test's catalog. Twice is like two processes.

    Attributes:
        at_once: how many files each of two processes adds at once.
        photographs: how many are added of one moment.
    """

    at_once = 30
    photographs = 1200  # more than there are steps in a period of phases

    @pytest.fixture
    async def catalog(self, opening: Opening) -> Catalog:
        return await opening()

    async def test_an_empty_catalog_returns_nothing(self, catalog: Catalog) -> None:
        assert await catalog.bound_space() is None
        assert await catalog.media(["nobody"]) == {}
        assert await catalog.media_at_path("/nowhere") == []
        assert await catalog.media_between([], at(0), at(10)) == []
        assert await catalog.coverage([], at(0), at(10)) == []
        assert await catalog.cameras() == []
        await catalog.finish_media("nobody")
        await catalog.remove_media(["nobody"])
        await catalog.clear_coverage([], at(0), at(10))

    async def test_the_first_space_is_bound_and_others_are_refused(self, catalog: Catalog, opening: Opening) -> None:
        await catalog.bind_space(SPACE, FINGERPRINT.tobytes())
        assert await (await opening()).bound_space() == SPACE
        near = FINGERPRINT + np.float32(0.01)
        await catalog.bind_space(SPACE, near.tobytes())
        with pytest.raises(SpaceMismatch, match=r"test/one.*other/two.*--data"):
            await catalog.bind_space(Space("other/two", 4), FINGERPRINT.tobytes())
        with pytest.raises(SpaceMismatch, match=r"4 numbers.*8 numbers"):
            await catalog.bind_space(Space("test/one", 8), FINGERPRINT.tobytes())
        for other in (FINGERPRINT[::-1], FINGERPRINT[:4], np.zeros_like(FINGERPRINT), FINGERPRINT * np.float32("nan")):
            with pytest.raises(SpaceMismatch, match=r"test/one.*cosine.*--data"):
                await catalog.bind_space(SPACE, np.ascontiguousarray(other).tobytes())
        await catalog.bind_space(SPACE, FINGERPRINT.tobytes())

    async def test_rebinding_replaces_the_bound_space(self, catalog: Catalog, opening: Opening) -> None:
        other = Space("other/two", 2)
        await catalog.bind_space(SPACE, FINGERPRINT.tobytes())
        await catalog.rebind_space(other, FINGERPRINT[[0, 1, 6, 7]].tobytes())
        again = await opening()
        assert await again.bound_space() == other
        await again.bind_space(other, FINGERPRINT[[0, 1, 6, 7]].tobytes())
        with pytest.raises(SpaceMismatch, match=r"other/two.*test/one"):
            await catalog.bind_space(SPACE, FINGERPRINT.tobytes())
        await again.rebind_space(SPACE, FINGERPRINT.tobytes())
        await catalog.bind_space(SPACE, FINGERPRINT.tobytes())

    async def test_a_media_is_added_once(self, catalog: Catalog, opening: Opening) -> None:
        media = Media("01", "Tür 'Süd'", "/ä/ö '.mp4", Kind.VIDEO, at(0.000001), Clock.RTCP, 12.3456789)
        assert await catalog.add_media(media, "every 1 s") == CatalogEntry(media, "every 1 s")
        await catalog.finish_media("01", "3 frames were damaged")
        done = CatalogEntry(media, "every 1 s", True, "3 frames were damaged")
        assert await (await opening()).add_media(media, "every 1 s") == done
        assert await catalog.media(["01", "02"]) == {"01": done}
        assert await catalog.media_at_path("/ä/ö '.mp4") == [done]

    async def test_another_recipe_keeps_the_start_and_is_not_done(self, catalog: Catalog) -> None:
        await catalog.add_media(video("01"), "r")
        moved = await catalog.add_media(video("02"), "r")
        await catalog.finish_media("02", "a note")
        assert await catalog.add_media(video("02"), "other") == CatalogEntry(moved.media, "other")
        assert (await catalog.media(["02"]))["02"].recipe == "other"

    async def test_starts_of_overlapping_media_are_shifted_once(self, catalog: Catalog, opening: Opening) -> None:
        starts = [0, 0, 10, 30, 0, 60]
        entries = [await catalog.add_media(video(f"{i}", start), "r") for i, start in enumerate(starts)]
        moved = [entry.media.start - at(start) for entry, start in zip(entries, starts, strict=True)]
        assert moved[0] == timedelta(0)
        assert all(shift % STEP == timedelta(0) and shift < timedelta(milliseconds=1) for shift in moved)
        assert len({entry.media.start.microsecond for entry in entries}) == len(entries)
        again = [await (await opening()).add_media(video(f"{i}", start), "r") for i, start in enumerate(starts)]
        assert again == entries
        elsewhere = [video("a", camera="door"), video("b", start=4000), video("c", start=-100), video("d", 0.000005)]
        assert [(await catalog.add_media(media, "r")).media for media in elsewhere] == elsewhere

    async def test_frames_of_two_overlapping_videos_share_no_time(self, catalog: Catalog) -> None:
        videos = [(await catalog.add_media(video(f"{i}", i * 2, 20), "r")).media for i in range(8)]
        for interval in (1.0, 0.04, 1 / 30, 1001 / 30000):
            times = [media.at(n * interval) for media in videos for n in range(int(20 / interval))]
            assert len(set(times)) == len(times)

    async def test_many_photographs_of_one_moment_each_get_their_own(self, catalog: Catalog) -> None:
        ids = [f"{i:04}" for i in range(self.photographs)]
        photos = [await catalog.add_media(video(id, 0, 0, clock=Clock.MTIME), "r") for id in ids]
        starts = [entry.media.start for entry in photos]
        assert len(set(starts)) == self.photographs
        assert max(starts) - at(0) < timedelta(seconds=1)
        one, other = [(await catalog.add_media(video(id, -30), "r")).media for id in ("one", "other")]
        assert one.start != other.start

    async def test_media_added_at_once_are_shifted_apart(self, opening: Opening) -> None:
        one, other = await opening(), await opening()
        work = [
            each.add_media(video(f"{i}{each is one}", 0, 0), "r") for i in range(self.at_once) for each in (one, other)
        ]
        assert len({entry.media.start for entry in await asyncio.gather(*work)}) == 2 * self.at_once

    async def test_media_between_finds_overlapping_media(self, catalog: Catalog) -> None:
        await catalog.add_media(video("long", 0, 1000), "r")
        await catalog.add_media(video("short", 100, 10), "r")
        await catalog.add_media(video("photo", 105.5, 0), "r")
        await catalog.add_media(video("door", 107.25, 1, camera="door"), "r")

        async def ids(start: float, end: float, *cameras: str) -> list[str]:
            return [entry.media.id for entry in await catalog.media_between(cameras, at(start), at(end))]

        assert await ids(0, 2000) == ["long", "short", "photo", "door"]
        assert await ids(109, 109.5) == ["long", "short"]
        assert await ids(110.5, 111, "gate") == ["long"]
        assert await ids(105.5, 105.6, "gate", "door") == ["long", "short", "photo"]
        assert await ids(105.4, 105.5, "gate") == ["long", "short"]
        assert await ids(107, 107.26, "door", "nobody") == ["door"]
        assert await ids(1000.1, 1001) == []
        assert await ids(-5, 0) == []

    async def test_a_media_can_be_moved_and_removed(self, catalog: Catalog) -> None:
        for id in ("1", "2", "3"):
            await catalog.add_media(video(id), "r")
        known = (await catalog.media(["1"]))["1"].media
        await catalog.update_media(replace(known, path="/elsewhere/1.mp4"))
        assert [entry.media.id for entry in await catalog.media_at_path("/elsewhere/1.mp4")] == ["1"]
        assert await catalog.media_at_path("/videos/1.mp4") == []
        await catalog.remove_media(["1", "2", *(f"nobody {i}" for i in range(30))])  # more than Astra takes at once
        assert list(await catalog.media(["1", "2", "3"])) == ["3"]
        assert (await catalog.add_media(video("1"), "r")).done is False

    async def test_a_segment_keeps_its_start_and_grows(self, catalog: Catalog) -> None:
        first = replace(video("1", 0, 10), kind=Kind.SEGMENT)
        second = replace(video("2", 10, 0), kind=Kind.SEGMENT, path="/videos/2.mp4.tmp")
        await catalog.add_media(first, "live")
        assert (await catalog.add_media(second, "live")).media == second
        closed = replace(second, path="/videos/2.mp4", duration=12.5)
        await catalog.update_media(closed)
        assert (await catalog.media(["2"]))["2"].media == closed
        assert [e.media.id for e in await catalog.media_between(["gate"], at(22), at(23))] == ["2"]
        assert await catalog.media_at_path("/videos/2.mp4") == []

    async def test_cameras_are_summed_up(self, catalog: Catalog) -> None:
        await catalog.add_media(video("1", 0, 10, clock=Clock.MTIME), "r")
        await catalog.add_media(video("2", 100, 10, clock=Clock.GIVEN), "r")
        await catalog.set_coverage(span(0, 5, camera="attic"))
        await catalog.set_coverage(span(0, 5))
        gate = CameraSummary("gate", 2, at(0), at(110), ("given", "mtime"))
        assert await catalog.cameras() == [CameraSummary("attic", 0, None, None), gate]
        segments = [replace(video(f"s{i}", 200 + 10 * i, 10, "live"), kind=Kind.SEGMENT) for i in range(5)]
        for segment in segments:
            await catalog.add_media(segment, "live")
        await catalog.update_media(replace(segments[-1], duration=25))
        live = CameraSummary("live", 5, at(200), at(265), ("given",))
        assert (await catalog.cameras())[2] == live

    async def test_what_is_removed_is_no_longer_summed_up(self, catalog: Catalog) -> None:
        for i in range(6):
            await catalog.add_media(replace(video(f"s{i}", 10 * i, 10), kind=Kind.SEGMENT), "live")
        await catalog.add_media(video("film", -100, 20), "r")
        await catalog.remove_media(["s0", "s1", "film", "nobody"])
        assert await catalog.cameras() == [CameraSummary("gate", 4, at(20), at(60), ("given",))]
        await catalog.add_media(video("old", -500, 20), "r")
        assert await catalog.cameras() == [CameraSummary("gate", 5, at(-500), at(60), ("given",))]
        await catalog.remove_media(["old", "s2", "s3", "s4", "s5"])
        assert await catalog.cameras() == []
        await catalog.add_media(video("new", 7, 20), "r")
        assert await catalog.cameras() == [CameraSummary("gate", 1, at(7), at(27), ("given",))]

    async def test_coverage_overwrites_and_joins(self, catalog: Catalog, opening: Opening) -> None:
        for each in (span(0, 10), span(10, 20), span(5, 6, "connection lost"), span(30, 40), span(0, 9, camera="door")):
            await catalog.set_coverage(each)
        other = await opening()
        gate = [span(0, 5), span(5, 6, "connection lost"), span(6, 20), span(30, 40)]
        assert await other.coverage(["gate"], at(-10), at(100)) == gate
        assert await other.coverage([], at(2), at(5.5)) == [
            span(2, 5.5, camera="door"),
            span(2, 5),
            span(5, 5.5, "connection lost"),
        ]
        await other.set_coverage(span(4, 7))
        assert await catalog.coverage(["gate"], at(-10), at(25)) == [span(0, 20)]
        await catalog.set_coverage(span(20, 20, "nothing"))
        await catalog.clear_coverage(["gate"], at(3), at(35))
        assert await catalog.coverage(["gate", "nobody"], at(-10), at(100)) == [span(0, 3), span(35, 40)]
        await catalog.clear_coverage([], at(0), at(100))
        assert await catalog.coverage([], at(-10), at(100)) == []

    async def test_what_is_read_of_many_cameras_over_two_months_is_complete(self, catalog: Catalog) -> None:
        names, week = [f"camera{i:02}" for i in range(43)], 7 * 86_400.0
        for i, name in enumerate(names):
            await catalog.set_coverage(span(i, week + i, camera=name))
            await catalog.set_coverage(span(i + 1, i + 2, "connection lost", camera=name))
        expected = [
            [span(i, i + 1, "", name), span(i + 1, i + 2, "connection lost", name), span(i + 2, week + i, "", name)]
            for i, name in enumerate(names)
        ]
        assert await catalog.coverage([], at(0), at(2 * week)) == [each for part in expected for each in part]
        assert await catalog.coverage(names[:30], at(week), at(2 * week)) == [
            span(week, week + i, camera=name) for i, name in enumerate(names[:30]) if i
        ]
        assert await catalog.cameras() == [CameraSummary(name, 0, None, None) for name in names]
        for i in range(66):
            segment = replace(video(f"s{i}", i * week / 50, 10, names[i % 2]), kind=Kind.SEGMENT)
            await catalog.add_media(segment, "live")
        found = await catalog.media([f"s{i}" for i in range(66)] + ["nobody"])
        assert {id: (entry.media.camera, entry.media.start) for id, entry in found.items()} == {
            f"s{i}": (names[i % 2], at(i * week / 50)) for i in range(66)
        }

    async def test_coverage_of_many_notes_is_what_they_leave(self, opening: Opening) -> None:
        """Notes of a live camera, of retention behind it and of another process, over two months."""
        catalog, other = await opening(), await opening()
        second = [START.replace(month=4, day=1) + timedelta(seconds=n) - START for n in (-60, -30, 0, 30, 60)]
        edge = [offset.total_seconds() for offset in second]
        await catalog.set_coverage(span(edge[0], edge[1]))
        await catalog.set_coverage(span(edge[0], edge[0] + 10, "expired"))
        await catalog.set_coverage(span(edge[1], edge[3]))
        await other.set_coverage(span(edge[1] - 5, edge[2] + 5, "lost"))
        await catalog.set_coverage(span(edge[3], edge[4]))
        want = [
            span(edge[0], edge[0] + 10, "expired"),
            span(edge[0] + 10, edge[1] - 5),
            span(edge[1] - 5, edge[2] + 5, "lost"),
            span(edge[2] + 5, edge[4]),
        ]
        assert await catalog.coverage([], at(edge[0] - 10), at(edge[4] + 10)) == want
        for end in (edge[0] + 40, edge[2] + 10, edge[2] + 20):
            await catalog.set_coverage(span(edge[0], end, "expired"))
        assert await other.coverage(["gate"], at(0), at(edge[4])) == [
            span(edge[0], edge[2] + 20, "expired"),
            span(edge[2] + 20, edge[4]),
        ]

    async def test_coverage_that_grows_up_to_now_is_one_span(self, opening: Opening) -> None:
        """As a live camera notes it, with what retention and another process note meanwhile."""
        catalog, other, now = await opening(), await opening(), datetime.now(UTC)
        begin, state = now - timedelta(seconds=50), CoverageState.WATCHED
        steps = [begin + timedelta(seconds=n) for n in range(6)]
        for start, end in pairwise(steps):
            await catalog.set_coverage(Coverage("gate", start, end, state))
            await catalog.set_coverage(
                Coverage("gate", begin - timedelta(hours=1), begin, CoverageState.GAP, "expired")
            )
        gap = Coverage("gate", begin - timedelta(hours=1), begin, CoverageState.GAP, "expired")
        assert await other.coverage([], begin - timedelta(days=1), now) == [
            gap,
            Coverage("gate", begin, steps[-1], state),
        ]
        lost = Coverage("gate", steps[1], steps[2], CoverageState.GAP, "lost")
        await other.set_coverage(lost)
        last = Coverage("gate", steps[-1], now, state)
        await catalog.set_coverage(last)
        want = [Coverage("gate", begin, steps[1], state), lost, Coverage("gate", steps[2], now, state)]
        assert await other.coverage([], begin, now) == want

    async def test_a_time_without_zone_is_refused(self, catalog: Catalog) -> None:
        with pytest.raises(StoreError, match="time zone"):
            await catalog.set_coverage(Coverage("gate", datetime(2026, 1, 1), at(0), CoverageState.WATCHED))

    async def test_closing_twice_does_no_harm(self, catalog: Catalog) -> None:
        await catalog.close()
        await catalog.close()
