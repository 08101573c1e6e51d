import base64
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.indexer.store.base import Record
from footage.query.scoring.hysteresis import BRIDGE, EDGE
from footage.query.scoring.noun_bank import Bank
from footage.query.watches.backtest import backtest
from footage.query.watches.scoring import Scorer
from footage.query.watches.trigger import GAP, Scored, Trigger
from footage.query.watches.watch import STATE, Watch, pause, remove
from footage.stream.frame import Region
from tests.query.watches.standing import SINCE, Yard, at, shown, until

SCENE = ["red"] * 5 + ["green"] * 4 + ["blue"] * 5 + ["green"] * 3 + ["red"] * 5


@pytest.fixture
async def yard(store, catalog):
    return await Yard(store, catalog).open()


async def test_a_watch_fires_once_a_moment_with_links(yard):
    watch = await yard.watch(base_url="https://cams.example/")
    async with yard.running() as watches:
        await yard.add(watches, await shown(SCENE))
        await until(lambda: len(yard.fired()) == 2)
    first, second = yard.fired()
    assert [datetime.fromisoformat(f["start"]) for f in (first, second)] == [at(5), at(14)]
    assert (first["watch"], first["query"], first["camera"]) == (watch.name, watch.text, "yard")
    assert first["links"]["picture"] == f"/api/frames/yard~{int(at(5).timestamp() * 1e6)}.jpg"
    assert first["urls"]["clip"] == "https://cams.example" + first["links"]["clip"]
    assert first["id"] != second["id"]
    assert first["score"] >= 0.5
    assert yard.told.count(("grass", "fired")) == 2


async def test_it_fires_after_the_write_among_many_watches(yard):
    for i in range(100):
        await yard.watch(f"w{i}", f"something {['red', 'white'][i % 2]} {i}")
    await yard.watch()
    async with yard.running() as watches:
        await until(lambda: len(watches._order) == 101)
        for i in range(5):
            await yard.add(watches, await shown(["blue", "blue"], start=10 * i))
            await until(lambda: watches._queue.empty())
            records = await shown(["green"], start=10 * i + 5)
            await yard.add(watches, records)
            await until(lambda i=i: len(yard.fired()) == i + 1)


async def test_a_clock_that_was_ahead_does_not_silence_a_camera(yard):
    await yard.watch()
    ahead = await shown(["green", "red", "red", "red"], start=86400)
    async with yard.running() as watches:
        await yard.add(watches, ahead, batch=1)
        await yard.add(watches, await shown(["green"] * 3, start=86410), batch=1)  # still ahead: nothing is forgotten
        await until(lambda: len(yard.fired()) == 2)
        await yard.add(watches, await shown(["red", "red", "green"], start=1500))
        await until(lambda: len(yard.fired()) == 3)
    assert [datetime.fromisoformat(f["start"]) for f in yard.fired()] == [at(86400), at(86410), at(1502)]


async def test_regions_of_a_frame_are_one_frame_and_the_best_of_them_is_named(yard):
    await yard.watch()
    corner = Region.of(Region(0.0, 0.0, 0.5, 0.5).code)
    whole = await shown(["red"] * 4)
    parts = [
        Record("yard", r.time, r.media, r.offset, v.vector, corner)
        for r, v in zip(whole, await shown(["green"] * 4), strict=True)
    ]
    mixed = [r for pair in zip(whole, parts, strict=True) for r in pair]
    async with yard.running() as watches:
        await yard.add(watches, [*mixed, *await shown(["red"] * 3, start=4)], batch=2)
        await yard.add(watches, await shown(["green"], start=7))
        await until(lambda: len(yard.fired()) == 2)
    assert yard.fired()[0]["links"]["picture"].endswith(f"~{corner.code:x}.jpg")


async def test_changes_are_noticed_while_it_runs(yard):
    async with yard.running() as watches:
        await yard.add(watches, await shown(["green"] * 2))
        await yard.watch(since=at(9))
        await yard.add(watches, await shown(["red"] * 3, start=2))
        await until(lambda: [w.name for w in watches._order] == ["grass"])
        await yard.add(watches, await shown(["green"] * 2, start=10))
        await until(lambda: len(yard.fired()) == 1)
        await pause(yard.catalog, "grass", True)
        await until(lambda: not watches._order)
        await yard.add(watches, await shown(["red", "red", "red", "green"], start=12))
        await remove(yard.catalog, "grass")
        await until(lambda: not watches._watches)
    assert [datetime.fromisoformat(f["start"]) for f in yard.fired()] == [at(10)]
    assert await yard.catalog.get(STATE) == {}


async def test_a_restart_neither_repeats_nor_forgets(yard):
    """Stopped in the middle of a moment, killed before some records were looked at: as if never stopped."""
    await yard.watch()
    records = await shown(SCENE)
    async with yard.running() as watches:
        await yard.add(watches, records[:7])
        await until(lambda: len(yard.fired()) == 1)
    await yard.store.write(records[7:16])  # written, but nobody looked
    async with yard.running() as watches:
        await until(lambda: len(yard.fired()) == 2)
        await yard.add(watches, records[16:])
        await until(lambda: watches._triggers["grass"]["yard"].last == records[-1].time)
    async with yard.running() as watches:
        await until(lambda: watches._order)
    assert [datetime.fromisoformat(f["start"]) for f in yard.fired()] == [at(5), at(14)]


async def test_a_camera_that_moves_to_another_service_fires_there_and_only_there(yard):
    """Two services on one catalogue, each with the cameras that it watches: as if one had watched all the time."""
    await yard.watch()
    records = await shown(SCENE)
    async with yard.running(cameras=["yard"]) as first, yard.running(cameras=[]) as second:
        await yard.add(first, records[:7])
        await until(lambda: len(yard.fired()) == 1)
        await yard.add(second, records[:7])  # not its camera: nothing is told of it
        await first.gave("yard")
        await yard.store.write(records[7:10])  # by whoever had it; nobody looked
        await second.took("yard")
        await yard.add(second, records[10:16])
        await until(lambda: len(yard.fired()) == 2)
        await second.lost("yard")
        await first.took("yard")
        await yard.add(first, records[16:])
        await until(lambda: first._triggers["grass"].get("yard") and first._queue.empty())
    assert [datetime.fromisoformat(f["start"]) for f in yard.fired()] == [at(5), at(14)]


async def test_a_back_test_is_what_really_happened(yard):
    """The same records, batch by batch as they came and all at once: the same firings."""
    rng = np.random.default_rng(0)
    colours = [
        c for _ in range(40) for c in [str(rng.choice(["red", "green", "blue", "green"]))] * int(rng.integers(1, 7))
    ]
    watch = await yard.watch(cooldown=12)
    records = await shown(colours)
    async with yard.running() as watches:
        await yard.add(watches, records, batch=7)
        await until(lambda: watches._triggers.get("grass", {}).get("yard", Trigger()).last == records[-1].time)
    found = await backtest(yard.scorer(), yard.store, yard.catalog, watch, SINCE, at(2000))
    assert len(found.firings) > 5
    assert [(f.id, f.time) for f in found.firings] == [
        (f["id"], datetime.fromisoformat(f["time"])) for f in yard.fired()
    ]
    assert found.counts[0.5] == len(found.firings)
    assert set(found.counts) == {0.3, 0.5, 0.7, 0.9}
    assert found.frames == len(records)
    for f in found.firings:
        assert f.moment.start <= f.moment.best <= f.moment.end


async def test_a_picture_is_watched_for(yard):
    (like,) = await shown(["blue"])
    vector = base64.b64encode(like.vector.tobytes()).decode()
    await yard.watch("sky", "sky.jpg", vector=vector, space=yard.embedder.space.name)
    await yard.watch("other", "other.jpg", vector=vector, space="clip/other")
    async with yard.running() as watches:
        await yard.add(watches, await shown(["red"] * 3 + ["blue"] * 3))
        await until(yard.fired)
    assert {f["watch"] for f in yard.fired()} == {"sky"}


class Counted(Bank):
    """Counts how often the nouns are asked."""

    asked = 0

    def evidence(self, queries, vectors):
        Counted.asked += 1
        return super().evidence(queries, vectors)


async def test_nouns_are_asked_once_a_batch_for_any_number_of_watches(yard):
    bank = Counted(yard.bank.vectors)
    scorer = Scorer(yard.embedder, yard.store, bank)
    await scorer.ask([Watch(name=f"w{i}", text=f"green {i}") for i in range(50)])
    Counted.asked = 0
    assert (await scorer.score(await shown(["green"] * 9))).shape == (9, 50)
    assert Counted.asked == 1


steps = st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 90)), max_size=80)


def run(frames, threshold, cooldown, trigger):
    fired, time = [], SINCE
    for p, gap in frames:
        time += timedelta(seconds=gap)
        if trigger.step(Scored(time, p, None), threshold, timedelta(seconds=cooldown)):
            fired.append((time, trigger.start))
    return fired


@given(steps, st.floats(0.05, 0.95), st.floats(0, 200))
def test_firings_match_are_apart_and_once_a_moment(frames, threshold, cooldown):
    fired = run(frames, threshold, cooldown, Trigger())
    times, starts = [t for t, _ in fired], [s for _, s in fired]
    p, time = {}, SINCE
    for value, gap in frames:
        time += timedelta(seconds=gap)
        p[time] = value
    assert all(p[t] >= threshold and p[s] >= threshold for t, s in fired)
    assert len(set(starts)) == len(starts)
    assert all(b - a >= timedelta(seconds=cooldown) for a, b in pairwise(times))
    order = sorted(p)
    for a, b in zip(times, starts[1:], strict=False):  # between two moments: a hole, or enough frames that are low
        between = [t for t in order if a <= t <= b]
        low = [p[t] < EDGE * threshold for t in between]
        assert any(y - x > GAP for x, y in pairwise(between)) or sum(low) > BRIDGE


@given(steps, st.floats(0.05, 0.95))
def test_without_a_cooldown_the_first_match_fires(frames, threshold):
    fired = run(frames, threshold, 0, Trigger())
    assert bool(fired) == any(p >= threshold for p, _ in frames)
    assert all(time == start for time, start in fired)


@given(steps, st.integers(0, 80), st.floats(0, 200))
def test_a_fold_goes_on_from_what_was_stored(frames, cut, cooldown):
    whole = run(frames, 0.5, cooldown, Trigger())
    trigger = Trigger()
    run(frames[:cut], 0.5, cooldown, trigger)
    again = Trigger.model_validate_json(trigger.model_dump_json())
    full = run(frames, 0.5, cooldown, again)  # all of it again: what was seen is passed over
    assert full == whole[len(whole) - len(full) :]
    assert again == Trigger.model_validate(again.model_dump())
    assert len(run(frames[:cut], 0.5, cooldown, Trigger())) + len(full) == len(whole)


def test_flicker_does_not_part_a_moment():
    frames = [(p, 1.0) for p in (0.9, 0.1, 0.9, 0.3, 0.4, 0.3, 0.9, 0.1, 0.1, 0.9)]
    assert len(run(frames, 0.5, 0, Trigger())) == 2


def test_what_goes_on_after_the_cooldown_is_told():
    frames = [(p, 1.0) for p in [0.9, 0.0, 0.0, *[0.9] * 60]]
    first, second = run(frames, 0.5, 30, Trigger())
    assert (second[0] - first[0]).total_seconds() == 30
    assert (second[1] - first[0]).total_seconds() == 3


@pytest.mark.parametrize(
    ("hours", "days", "when", "stands"),
    [
        ("8-18", "", "2026-05-04T08:00", True),
        ("8-18", "", "2026-05-04T18:00", False),
        ("22-6", "", "2026-05-04T23:30", True),
        ("22-6", "", "2026-05-04T05:59", True),
        ("22-6", "", "2026-05-04T06:00", False),
        ("", "mon-fri", "2026-05-04T12:00", True),  # a Monday
        ("", "sat,sun", "2026-05-04T12:00", False),
        ("22-6", "sun", "2026-05-04T03:00", True),  # Sunday's night
        ("22-6", "mon", "2026-05-04T03:00", False),
        ("22-6", "mon", "2026-05-05T03:00", True),
        ("0-24", "fri-mon", "2026-05-04T03:00", True),
    ],
)
def test_hours_and_days_are_of_this_machines_zone(hours, days, when, stands):
    watch = Watch(name="w", text="x", hours=hours, days=days, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert watch.stands("yard", datetime.fromisoformat(when).astimezone()) is stands


@pytest.mark.parametrize("bad", ["8", "8-8", "25-3", "-1-5", "a-b"])
def test_hours_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="hours"):
        Watch(name="w", text="x", hours=bad)
