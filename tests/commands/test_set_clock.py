"""Tests ``footage serve`` on a machine whose clock is set an hour forward and back (libfaketime) while it records."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import pytest

from footage.indexer.store.base import CoverageState
from footage.stream.recording import segment
from tests.commands.test_service import Service, ended, stored, write_settings  # noqa: F401
from tests.require import require

pytestmark = pytest.mark.slow
HOUR = timedelta(hours=1)
WATCHED = timedelta(seconds=6)  # by each setting of the clock
SLACK = timedelta(seconds=30)  # a machine that is busy may be late: what is judged is which of the two hours it is
BENT = timedelta(seconds=5)  # as far as a line of times may be bent
LIBRARY = "faketime/libfaketimeMT.so.1"


@pytest.fixture
def machine(tmp_path):
    """What runs a command on a machine whose clock a file sets; the clock that is never set stays right."""
    found = next(Path("/usr/lib").glob(f"*/{LIBRARY}"), None)
    if found is None:
        require("faketime", "apt-get install faketime")
    (tmp_path / "clock").write_text("+0")
    variables = {
        "LD_PRELOAD": found,
        "FAKETIME_TIMESTAMP_FILE": tmp_path / "clock",
        "FAKETIME_NO_CACHE": 1,
        "DONT_FAKE_MONOTONIC": 1,
    }
    return tmp_path / "clock", ["env", *(f"{name}={value}" for name, value in variables.items())]


def newest(cameras):
    """Time of the newest frame of the camera that is behind; long ago before each has one."""
    last = [(cameras.get(name, {}).get("live") or {}).get("last_frame") for name in ("yard", "gate")]
    return min(datetime.fromisoformat(time) if time else datetime.min.replace(tzinfo=UTC) for time in last)


def test_a_clock_that_is_set_an_hour_forward_and_back_is_followed(rtsp, films, tiny_clip, tmp_path, machine):
    clock, before = machine
    settings = write_settings(
        rtsp({"yard": films["yard"], "gate": films["yard"]}, login="user:secret"), tmp_path, tiny_clip
    )
    began = datetime.now(UTC)
    service = Service(settings, before=before)
    turns = [began]  # before each setting of the clock, in truth
    for setting, error in (("+0", 0 * HOUR), ("+3600", HOUR), ("+0", 0 * HOUR)):
        clock.with_suffix(".new").write_text(setting)
        turns.append(datetime.now(UTC))
        clock.with_suffix(".new").replace(clock)
        held = sum(c["records"] for c in service.cameras().values())
        service.until(lambda c, since=turns[-1] + error: since + WATCHED < newest(c) < since + HOUR / 2)
        service.until(lambda c, held=held: sum(one["records"] for one in c.values()) > held + 10)
    answer = json.loads(service.get("/api/search", q="a dog", camera="yard"))
    assert {c["state"] for c in answer["coverage"]} <= {"watched", "gap"}
    assert service.end() == 0
    stopped = datetime.now(UTC)
    assert "Traceback" not in service.told
    keys, media, coverage = stored(settings)
    true, ahead = (began - SLACK, stopped + SLACK), (turns[2] + HOUR - SLACK, turns[3] + HOUR + SLACK)

    def shown(time):
        return any(start <= time <= end for start, end in (true, ahead))

    assert set(keys.values()) == {1}
    assert [time for _, time in keys if not shown(time)] == [], (true, ahead)
    assert {len([1 for c, t in keys if c == name and t > ahead[0]]) > 0 for name in ("yard", "gate")} == {True}
    for camera in ("yard", "gate"):
        watched = [c for c in coverage if c.camera == camera and c.state is CoverageState.WATCHED]
        assert all(shown(c.start) and shown(c.end) and c.end - c.start < HOUR / 2 for c in watched)
        assert (
            sum((c.end - c.start for c in watched), timedelta()) <= stopped - began + BENT
        )  # no second was watched twice
        gaps = [c for c in coverage if c.camera == camera and c.state is CoverageState.GAP]
        assert any(c.start < turns[2] + HOUR / 2 < c.end for c in gaps)
        mine = [m for m in media if m.camera == camera]
        for one in mine:
            assert shown(one.start)
            assert shown(one.end)
            assert segment.parse_path(one.path).start == one.start
            with av.open(one.path) as container:
                frames = sum(1 for _ in container.decode(video=0))
            assert frames / 25 == pytest.approx(one.duration, abs=BENT.total_seconds())
        assert len(mine) >= 3
        assert [t for c, t in keys if c == camera and not any(w.start <= t <= w.end for w in watched)] == []
    print(f"{len(keys)} records, {len(media)} segments, {len(coverage)} spans, {stopped - began}")


def test_a_clock_that_is_wrong_at_the_start_deletes_nothing_and_is_told(rtsp, films, tiny_clip, tmp_path, machine):
    clock, before = machine
    cameras = rtsp({"yard": films["yard"], "gate": films["yard"]}, login="user:secret")
    settings = write_settings(cameras, tmp_path, tiny_clip)
    settings.write_text(settings.read_text().replace("stall: 20s}", "stall: 20s, keep: 1d}"))
    service = Service(settings, before=before)
    service.until(lambda c: all(c.get(name, {}).get("records", 0) > 5 for name in ("yard", "gate")))
    assert service.end() == 0
    keys, media, _ = stored(settings)
    for error, way in ((365 * 24 * HOUR, "back"), (-55 * 365 * 24 * HOUR, "forward")):
        clock.write_text(f"{error.total_seconds():+.0f}")
        service = Service(settings, before=before)
        service.until(lambda c, then=datetime.now(UTC) + error: then < newest(c) < then + HOUR / 2)
        listed = json.loads(service.get("/api/cameras"))["problem"]
        assert ("the clock of this machine is behind" in listed) == (way == "forward"), listed
        clock.with_suffix(".new").write_text("+0")
        clock.with_suffix(".new").replace(clock)
        service.until(lambda c, then=datetime.now(UTC): then - SLACK < newest(c) < then + HOUR / 2)
        told = f"by a clock that was then set {way} by {round(abs(error) / (24 * HOUR))} days"
        span = {"from": "1970-01-01T00:00Z", "to": "2040-01-01T00:00Z"}
        service.until(lambda _, told=told, span=span, one=service: told.encode() in one.get("/api/coverage", **span))
        assert "Traceback" not in service.told
        assert service.end() == 0
    left, kept, _ = stored(settings)
    assert set(keys) <= set(left)
    assert {m.id for m in media} <= {m.id for m in kept}
    assert all(Path(m.path).exists() for m in media)
