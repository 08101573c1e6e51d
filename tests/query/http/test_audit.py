"""Tests the audit log, through a real service and as files."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.indexer.live.expiry_clock import ExpiryClock
from footage.query.http import audit as module
from footage.query.http.audit import MAX_TEXT, AuditLog
from footage.stream.recording.wrong_times import WrongSpan, WrongTimes
from tests.query.http.test_tokens import SPAN, answer, moment, two_cameras

__all__ = ["two_cameras"]

KEEP = timedelta(days=90)


@pytest.fixture
def audit_log(two_cameras, tmp_path):
    two_cameras.audit = AuditLog(tmp_path / "audit", KEEP)
    return two_cameras.audit


async def get_entries(client, **params):
    return (await answer(await client.get("/api/audit", params=params)))["entries"]


async def test_entries_hold_caller_operation_parameters_and_count(two_cameras, audit_log):
    client = await two_cameras.serve()
    await answer(await client.get("/api/search", params={"q": "green", "camera": "yard"}))
    await answer(await client.get("/api/watches/both/test", params=SPAN))
    assert (await client.get(f"/api/moments/{moment('yard')}/clip.mp4", params={"pad": 0})).status == 200
    assert (await client.post("/api/export", json={"moments": [moment("yard"), moment("gate")]})).status == 200
    await answer(await client.get("/api/cameras"))
    await answer(await client.get("/api/search"), 400)
    async with asyncio.timeout(20):
        while len(entries := await get_entries(client)) < 4:  # an export is get_entries when it has been sent
            await asyncio.sleep(0.01)
    export, clip, test, search = entries
    assert (search["who"], search["what"], search["found"], search["status"]) == ("local", "search", 1, 200)
    assert search["asked"] == {"q": "green", "camera": ["yard"]}
    assert (test["asked"]["name"], test["found"]) == ("both", 2)
    assert (clip["what"], clip["asked"]) == ("clip_file", {"id": moment("yard"), "pad": 0.0})
    assert (export["what"], export["found"], export["asked"]["moments"][1]) == ("export_zip", 2, moment("gate"))
    times = [datetime.fromisoformat(e["time"]) for e in (search, test, clip, export)]
    assert times == sorted(times)


async def test_entries_name_the_token_and_record_refusals(two_cameras, audit_log):
    client = await two_cameras.client("view", "yard")
    await answer(await client.get("/api/search", params={"q": "green", "camera": "gate"}), 403)
    await answer(await client.get(f"/api/moments/{moment('yard')}/clip.mp4"), 403)
    await answer(await client.get("/api/audit"), 403)
    admin = await two_cameras.client("admin", name="bob")
    clip, search = await get_entries(admin)
    assert [(e["who"], e["found"], e["status"]) for e in (search, clip)] == [("anna", None, 403)] * 2
    assert search["asked"] == {"q": "green", "camera": "gate"}
    limited = await two_cameras.client("admin", "yard", name="carl")
    await answer(await limited.get("/api/audit"), 403)


async def test_entries_can_be_limited_by_time_and_number(two_cameras, audit_log):
    client = await two_cameras.serve()
    for q in ("red", "green", "blue"):
        await answer(await client.get("/api/search", params={"q": q}))
    everything = await get_entries(client)
    assert [e["asked"]["q"] for e in everything] == ["blue", "green", "red"]
    assert await get_entries(client, limit=1) == everything[:1]
    assert await get_entries(client, **{"from": everything[1]["time"]}) == everything[:2]
    assert await get_entries(client, to=everything[1]["time"]) == everything[2:]


async def test_without_an_audit_log_nothing_is_written(two_cameras, tmp_path):
    client = await two_cameras.serve()
    await answer(await client.get("/api/search", params={"q": "green"}))
    assert "off" in (await answer(await client.get("/api/audit"), 404))["error"]
    assert not (tmp_path / "audit").exists()


async def test_files_are_private_and_incomplete_lines_are_skipped(tmp_path):
    audit = AuditLog(tmp_path / "deep" / "audit", KEEP)
    assert (await audit.entries()).entries == []
    await audit.append("anna", "search", {"q": "green"}, 1)
    (path,) = (tmp_path / "deep" / "audit").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with path.open("ab") as file:
        file.write(b'{"time": "2026-\n')
    await audit.append("bob", "search", {"q": "x" * 10_000}, 0)
    newest, first = (await audit.entries()).entries
    assert (newest.who, first.who) == ("bob", "anna")
    assert len(newest.asked["q"]) <= MAX_TEXT + 3


async def test_concurrent_entries_are_one_line_each(tmp_path):
    audit = AuditLog(tmp_path / "audit", KEEP)
    await asyncio.gather(*(audit.append("anna", "search", {"n": n}, n) for n in range(200)))
    assert {e.found for e in (await audit.entries(limit=1000)).entries} == set(range(200))


async def test_a_write_error_does_not_fail_the_request(two_cameras, audit_log, tmp_path, caplog):
    (tmp_path / "audit").write_text("in the way")
    client = await two_cameras.serve()
    await answer(await client.get("/api/search", params={"q": "green"}))
    assert "cannot be written" in caplog.text


@given(age=st.integers(0, 400), keep=st.integers(1, 300))
def test_a_day_is_removed_when_all_of_it_has_expired(tmp_path_factory, age, keep):
    folder = tmp_path_factory.mktemp("audit")
    day = datetime.now(UTC) - timedelta(days=age)
    path = folder / f"{day:%Y-%m-%d}.jsonl"
    for name in (path.name, "notes.txt", "2026-99-99.jsonl"):
        (folder / name).write_text("{}")
    AuditLog(folder, timedelta(days=keep)).remove_expired(datetime.now(UTC))
    assert path.exists() == (age <= keep)
    assert (folder / "notes.txt").exists()


async def test_expired_days_are_removed_while_the_service_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CLEANUP_INTERVAL", 0.01)
    (tmp_path / "2020-01-01.jsonl").write_text("{}\n")
    task = asyncio.create_task(AuditLog(tmp_path, KEEP).run())
    async with asyncio.timeout(20):
        while list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
        (tmp_path / "2020-01-02.jsonl").write_text(json.dumps({}))
        while list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_expires_because_the_clock_was_set_forward(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CLEANUP_INTERVAL", 0.01)
    begin, ahead, looked = datetime(2026, 5, 4, 12, tzinfo=UTC), timedelta(), 0

    def machine():
        nonlocal looked
        looked += 1
        return begin + ahead

    clock = ExpiryClock(machine, lambda: 0.0)
    for day in ("2026-01-01", "2026-05-03"):
        (tmp_path / f"{day}.jsonl").write_text("{}\n")
    task = asyncio.create_task(AuditLog(tmp_path, KEEP).run(clock))
    async with asyncio.timeout(20):
        while len(list(tmp_path.iterdir())) > 1:
            await asyncio.sleep(0.01)
        ahead, before = timedelta(days=365), looked
        while looked < before + 5:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [path.name for path in tmp_path.iterdir()] == ["2026-05-03.jsonl"]


@pytest.mark.parametrize(("age", "kept"), [(89, True), (91, False)])
def test_entries_of_a_clock_that_showed_1970_are_as_old_as_they_are(tmp_path, age, kept):
    (tmp_path / "1970-01-01.jsonl").write_text("{}\n")
    now = datetime(2026, 5, 4, tzinfo=UTC)
    begun, ended = (datetime(1970, 1, 1, 0, minute, tzinfo=UTC) for minute in (1, 9))
    wrong = WrongTimes([WrongSpan(begun, ended, now - timedelta(days=age) - ended)])
    AuditLog(tmp_path, timedelta(days=90)).remove_expired(now, wrong)
    assert (tmp_path / "1970-01-01.jsonl").exists() == kept
    AuditLog(tmp_path, timedelta(days=90)).remove_expired(now)
    assert list(tmp_path.iterdir()) == []
