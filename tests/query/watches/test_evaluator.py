import asyncio
import base64
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.indexer.store.base import Record
from footage.indexer.store.errors import StoreFull
from footage.query.scoring.noun_bank import NounBank
from footage.query.watches import evaluator
from footage.query.watches.backtest import run_backtest
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.trigger import MAX_SILENCE, ScoredFrame, Trigger
from footage.query.watches.watch import TRIGGER_KIND, Watch, pause_watch, remove_watch
from footage.stream.frame import Region
from tests.query.watches.harness import SINCE, WatchHarness, at, make_records, until

SCENE = ["red"] * 5 + ["green"] * 4 + ["blue"] * 5 + ["green"] * 3 + ["red"] * 5


@pytest.fixture
async def harness(store, catalog):
    return await WatchHarness(store, catalog).open()


async def test_a_watch_fires_once_per_moment_with_links(harness):
    watch = await harness.add_watch(base_url="https://cams.example/")
    async with harness.run() as watches:
        await harness.write(watches, await make_records(SCENE))
        await until(lambda: len(harness.received()) == 2)
    first, second = harness.received()
    assert [datetime.fromisoformat(f["start"]) for f in (first, second)] == [at(5), at(14)]
    assert (first["watch"], first["query"], first["camera"]) == (watch.name, watch.text, "yard")
    assert first["links"]["picture"] == f"/api/frames/yard~{int(at(5).timestamp() * 1e6)}.jpg"
    assert first["urls"]["clip"] == "https://cams.example" + first["links"]["clip"]
    assert first["id"] != second["id"]
    assert first["score"] >= 0.5
    assert harness.events.count(("grass", "fired")) == 2


async def test_it_fires_after_the_write_among_many_watches(harness):
    for i in range(100):
        await harness.add_watch(f"w{i}", f"something {['red', 'white'][i % 2]} {i}")
    await harness.add_watch()
    async with harness.run() as watches:
        await until(lambda: len(watches._scored) == 101)
        for i in range(5):
            await harness.write(watches, await make_records(["blue", "blue"], start=10 * i))
            await until(lambda: not watches._queue)
            records = await make_records(["green"], start=10 * i + 5)
            await harness.write(watches, records)
            await until(lambda i=i: len(harness.received()) == i + 1)


async def test_a_clock_that_was_ahead_does_not_silence_a_camera(harness):
    await harness.add_watch()
    ahead = await make_records(["green", "red", "red", "red"], start=86400)
    async with harness.run() as watches:
        await harness.write(watches, ahead, batch=1)
        await harness.write(
            watches, await make_records(["green"] * 3, start=86410), batch=1
        )  # still ahead: nothing is forgotten
        await until(lambda: len(harness.received()) == 2)
        await harness.write(watches, await make_records(["red", "red", "green"], start=1500))
        await until(lambda: len(harness.received()) == 3)
    assert [datetime.fromisoformat(f["start"]) for f in harness.received()] == [at(86400), at(86410), at(1502)]


async def test_regions_of_a_frame_are_one_frame_and_the_best_of_them_is_named(harness):
    await harness.add_watch()
    corner = Region.of(Region(0.0, 0.0, 0.5, 0.5).code)
    whole = await make_records(["red"] * 4)
    parts = [
        Record("yard", r.time, r.media, r.offset, v.vector, corner)
        for r, v in zip(whole, await make_records(["green"] * 4), strict=True)
    ]
    mixed = [r for pair in zip(whole, parts, strict=True) for r in pair]
    async with harness.run() as watches:
        await harness.write(watches, [*mixed, *await make_records(["red"] * 3, start=4)], batch=2)
        await harness.write(watches, await make_records(["green"], start=7))
        await until(lambda: len(harness.received()) == 2)
    assert harness.received()[0]["links"]["picture"].endswith(f"~{corner.code:x}.jpg")


async def test_changed_watches_are_noticed_while_running(harness):
    async with harness.run() as watches:
        await harness.write(watches, await make_records(["green"] * 2))
        await harness.add_watch(since=at(9))
        await harness.write(watches, await make_records(["red"] * 3, start=2))
        await until(lambda: [w.name for w in watches._scored] == ["grass"])
        await harness.write(watches, await make_records(["green"] * 2, start=10))
        await until(lambda: len(harness.received()) == 1)
        await pause_watch(harness.catalog, "grass", True)
        await until(lambda: not watches._scored)
        await harness.write(watches, await make_records(["red", "red", "red", "green"], start=12))
        await remove_watch(harness.catalog, "grass")
        await until(lambda: not watches._watches)
    assert [datetime.fromisoformat(f["start"]) for f in harness.received()] == [at(10)]
    assert await harness.catalog.documents(TRIGGER_KIND) == {}


async def test_a_restart_neither_repeats_nor_misses_an_alert(harness):
    """Stopped during a moment, then killed before some records were evaluated: fires as if never stopped."""
    await harness.add_watch()
    records = await make_records(SCENE)
    async with harness.run() as watches:
        await harness.write(watches, records[:7])
        await until(lambda: len(harness.received()) == 1)
    await harness.store.write(records[7:16])  # stored, but not evaluated
    async with harness.run() as watches:
        await until(lambda: len(harness.received()) == 2)
        await harness.write(watches, records[16:])
        await until(lambda: watches._triggers["grass"]["yard"].last == records[-1].time)
    async with harness.run() as watches:
        await until(lambda: watches._scored)
    assert [datetime.fromisoformat(f["start"]) for f in harness.received()] == [at(5), at(14)]


async def test_a_camera_that_moves_to_another_service_fires_there_and_only_there(harness):
    """Two services on one catalog, each with its own cameras: fires as if one had watched all the time."""
    await harness.add_watch()
    records = await make_records(SCENE)
    async with harness.run(cameras=["yard"]) as first, harness.run(cameras=[]) as second:
        await harness.write(first, records[:7])
        await until(lambda: len(harness.received()) == 1)
        await harness.write(second, records[:7])  # not its camera: nothing is reported for it
        await first.on_camera_removed("yard")
        await harness.store.write(records[7:10])  # by the service that had it; not evaluated
        await second.on_camera_added("yard")
        await harness.write(second, records[10:16])
        await until(lambda: len(harness.received()) == 2)
        await second.on_camera_lost("yard")
        await first.on_camera_added("yard")
        await harness.write(first, records[16:])
        await until(lambda: first._triggers["grass"].get("yard") and not first._queue)
    assert [datetime.fromisoformat(f["start"]) for f in harness.received()] == [at(5), at(14)]


async def test_a_backtest_equals_the_live_alerts(harness):
    """The same records, batch by batch live and all at once: the same alerts."""
    rng = np.random.default_rng(0)
    colors = [
        c for _ in range(40) for c in [str(rng.choice(["red", "green", "blue", "green"]))] * int(rng.integers(1, 7))
    ]
    watch = await harness.add_watch(cooldown=12)
    records = await make_records(colors)
    async with harness.run() as watches:
        await harness.write(watches, records, batch=7)
        await until(lambda: watches._triggers.get("grass", {}).get("yard", Trigger()).last == records[-1].time)
    found = await run_backtest(harness.scorer(), harness.store, harness.catalog, watch, SINCE, at(2000))
    assert len(found.alerts) > 5
    assert [(f.id, f.time) for f in found.alerts] == [
        (f["id"], datetime.fromisoformat(f["time"])) for f in harness.received()
    ]
    assert found.counts[0.5] == len(found.alerts)
    assert set(found.counts) == {0.3, 0.5, 0.7, 0.9}
    assert found.frames == len(records)
    for f in found.alerts:
        assert f.moment.start <= f.moment.best <= f.moment.end


async def test_a_watch_for_a_picture_fires(harness):
    (like,) = await make_records(["blue"])
    vector = base64.b64encode(like.vector.tobytes()).decode()
    await harness.add_watch("sky", "sky.jpg", vector=vector, space=harness.embedder.space.name)
    await harness.add_watch("other", "other.jpg", vector=vector, space="clip/other")
    async with harness.run() as watches:
        await harness.write(watches, await make_records(["red"] * 3 + ["blue"] * 3))
        await until(harness.received)
    assert {f["watch"] for f in harness.received()} == {"sky"}


class CountingNounBank(NounBank):
    """Counts how often the nouns are scored."""

    calls = 0

    def evidence(self, queries, vectors):
        CountingNounBank.calls += 1
        return super().evidence(queries, vectors)


async def test_nouns_are_scored_once_per_batch_for_any_number_of_watches(harness):
    bank = CountingNounBank(harness.bank.vectors)
    scorer = WatchScorer(harness.embedder, harness.store, bank)
    await scorer.set_watches([Watch(name=f"w{i}", text=f"green {i}") for i in range(50)])
    CountingNounBank.calls = 0
    assert (await scorer.score(await make_records(["green"] * 9))).shape == (9, 50)
    assert CountingNounBank.calls == 1


steps = st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 90)), max_size=80)


def run(frames, threshold, cooldown, trigger):
    fired, time = [], SINCE
    for p, gap in frames:
        time += timedelta(seconds=gap)
        if trigger.step(ScoredFrame(time, p, None), threshold, timedelta(seconds=cooldown)):
            fired.append((time, trigger.start))
    return fired


@given(steps, st.floats(0.05, 0.95), st.floats(0, 200))
def test_alerts_match_keep_the_cooldown_and_come_once_per_moment(frames, threshold, cooldown):
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
    for a, b in zip(times, starts[1:], strict=False):  # between two moments: a silence, or enough frames that are low
        between = [t for t in order if a <= t <= b]
        low = [p[t] < 0.3 * threshold for t in between]
        assert any(y - x > MAX_SILENCE for x, y in pairwise(between)) or sum(low) > 1


@given(steps, st.floats(0.05, 0.95))
def test_without_a_cooldown_the_first_match_fires(frames, threshold):
    fired = run(frames, threshold, 0, Trigger())
    assert bool(fired) == any(p >= threshold for p, _ in frames)
    assert all(time == start for time, start in fired)


@given(steps, st.integers(0, 80), st.floats(0, 200))
def test_a_trigger_continues_from_its_stored_state(frames, cut, cooldown):
    whole = run(frames, 0.5, cooldown, Trigger())
    trigger = Trigger()
    run(frames[:cut], 0.5, cooldown, trigger)
    again = Trigger.model_validate_json(trigger.model_dump_json())
    full = run(frames, 0.5, cooldown, again)  # all frames again: those evaluated before are skipped
    assert full == whole[len(whole) - len(full) :]
    assert again == Trigger.model_validate(again.model_dump())
    assert len(run(frames[:cut], 0.5, cooldown, Trigger())) + len(full) == len(whole)


def test_flicker_does_not_split_a_moment():
    frames = [(p, 1.0) for p in (0.9, 0.1, 0.9, 0.3, 0.4, 0.3, 0.9, 0.1, 0.1, 0.9)]
    assert len(run(frames, 0.5, 0, Trigger())) == 2


def test_a_moment_that_lasts_past_the_cooldown_fires():
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
def test_hours_and_days_are_in_this_machines_time_zone(hours, days, when, stands):
    watch = Watch(name="w", text="x", hours=hours, days=days, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert watch.applies_to("yard", datetime.fromisoformat(when).astimezone()) is stands


@pytest.mark.parametrize("bad", ["8", "8-8", "25-3", "-1-5", "a-b"])
def test_invalid_hours_are_refused(bad):
    with pytest.raises(ValueError, match="hours"):
        Watch(name="w", text="x", hours=bad)


async def test_while_the_disk_is_full_an_alert_is_late_but_not_lost(harness, monkeypatch, caplog):
    await harness.add_watch()
    put, full = harness.catalog.put_document, [3]

    async def refuse(kind, name, document):
        if full[0] > 0:
            full[0] -= 1
            raise StoreFull("the disk is full")
        await put(kind, name, document)

    monkeypatch.setattr(harness.catalog, "put_document", refuse)
    async with harness.run() as watches:
        await harness.write(watches, await make_records(SCENE))
        await until(lambda: len(harness.received()) == 2)
    assert full == [0]
    assert len(await harness.catalog.documents(TRIGGER_KIND)) == 1
    assert "Traceback" not in caplog.text


async def test_records_that_do_not_fit_in_memory_are_evaluated_from_the_index(harness, monkeypatch, caplog):
    monkeypatch.setattr(evaluator, "MAX_WAITING", 4)
    monkeypatch.setattr(evaluator, "CATCH_UP_BATCH", 3)
    await harness.add_watch()
    put, away = harness.catalog.put_document, asyncio.Event()

    async def put_when_back(kind, name, document):
        await away.wait()
        await put(kind, name, document)

    monkeypatch.setattr(harness.catalog, "put_document", put_when_back)
    async with harness.run() as watches:
        watches.is_spooling = lambda: spooled
        spooled, scene = True, await make_records(SCENE * 4, start=100)
        await until(lambda: watches._scored)
        await harness.write(watches, await make_records(["green"]))
        await until(lambda: len(harness.received()) == 1)  # and the evaluator waits for the catalog
        await harness.write(watches, scene)
        assert watches.backlog <= 5, "what waits in memory is bounded"
        assert "are read from the index" in caplog.text
        away.set()
        await until(lambda: not watches.backlog)
        assert len(harness.received()) < 9, "records that wait for the database are not in the index yet"
        spooled = False
        await until(lambda: len(harness.received()) == 9)
        await harness.write(watches, await make_records(["green"], start=300))
        await until(lambda: len(harness.received()) == 10)
    starts = [datetime.fromisoformat(f["start"]) for f in harness.received()[1:-1]]
    assert starts == [at(100 + 22 * n + second) for n in range(4) for second in (5, 14)]


async def test_a_camera_whose_start_ends_the_evaluator_is_started_again(harness, monkeypatch):
    await harness.add_watch()
    document, errors = harness.catalog.document, []

    async def dying(kind, name):
        if kind == TRIGGER_KIND and errors:
            raise errors.pop()
        return await document(kind, name)

    async with harness.run(cameras=[]) as watches:
        await until(lambda: watches._scored)
        monkeypatch.setattr(harness.catalog, "document", dying)
        errors.append(RuntimeError("a bug"))
        await watches.on_camera_added("yard")
        await until(lambda: not errors)
        await harness.write(watches, await make_records(SCENE))
        await until(lambda: len(harness.received()) == 2)
