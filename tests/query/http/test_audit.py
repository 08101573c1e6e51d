"""The query log, against a real service and as files."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.query.http import audit as module
from footage.query.http.audit import LONG, Audit
from tests.query.http.test_tokens import SPAN, answer, house, moment

__all__ = ["house"]

KEEP = timedelta(days=90)


@pytest.fixture
def kept(house, tmp_path):
    house.audit = Audit(tmp_path / "audit", KEEP)
    return house.audit


async def noted(client, **params):
    return (await answer(await client.get("/api/audit", params=params)))["entries"]


async def test_who_asked_what_and_how_many_were_found(house, kept):
    client = await house.serve()
    await answer(await client.get("/api/search", params={"q": "green", "camera": "yard"}))
    await answer(await client.get("/api/watches/both/test", params=SPAN))
    assert (await client.get(f"/api/moments/{moment('yard')}/clip.mp4", params={"pad": 0})).status == 200
    assert (await client.post("/api/export", json={"moments": [moment("yard"), moment("gate")]})).status == 200
    await answer(await client.get("/api/cameras"))
    await answer(await client.get("/api/search"), 400)
    async with asyncio.timeout(20):
        while len(entries := await noted(client)) < 4:  # an export is noted when it has been sent
            await asyncio.sleep(0.01)
    export, clip, test, search = entries
    assert (search["who"], search["what"], search["found"], search["status"]) == ("local", "search", 1, 200)
    assert search["asked"] == {"q": "green", "camera": ["yard"]}
    assert (test["asked"]["name"], test["found"]) == ("both", 2)
    assert (clip["what"], clip["asked"]) == ("clip_file", {"id": moment("yard"), "pad": 0.0})
    assert (export["what"], export["found"], export["asked"]["moments"][1]) == ("export_zip", 2, moment("gate"))
    times = [datetime.fromisoformat(e["time"]) for e in (search, test, clip, export)]
    assert times == sorted(times)


async def test_a_tokens_owner_is_named_and_a_refusal_is_told(house, kept):
    client = await house.client("view", "yard")
    await answer(await client.get("/api/search", params={"q": "green", "camera": "gate"}), 403)
    await answer(await client.get(f"/api/moments/{moment('yard')}/clip.mp4"), 403)
    await answer(await client.get("/api/audit"), 403)
    admin = await house.client("admin", name="bob")
    clip, search = await noted(admin)
    assert [(e["who"], e["found"], e["status"]) for e in (search, clip)] == [("anna", None, 403)] * 2
    assert search["asked"] == {"q": "green", "camera": "gate"}
    limited = await house.client("admin", "yard", name="carl")
    await answer(await limited.get("/api/audit"), 403)


async def test_the_audit_is_asked_by_time_and_number(house, kept):
    client = await house.serve()
    for q in ("red", "green", "blue"):
        await answer(await client.get("/api/search", params={"q": q}))
    everything = await noted(client)
    assert [e["asked"]["q"] for e in everything] == ["blue", "green", "red"]
    assert await noted(client, limit=1) == everything[:1]
    assert await noted(client, **{"from": everything[1]["time"]}) == everything[:2]
    assert await noted(client, to=everything[1]["time"]) == everything[2:]


async def test_without_an_audit_nothing_is_kept_and_that_is_told(house, tmp_path):
    client = await house.serve()
    await answer(await client.get("/api/search", params={"q": "green"}))
    assert "off" in (await answer(await client.get("/api/audit"), 404))["error"]
    assert not (tmp_path / "audit").exists()


async def test_only_the_owner_can_read_it_and_a_torn_line_harms_nothing(tmp_path):
    audit = Audit(tmp_path / "deep" / "audit", KEEP)
    assert (await audit.entries()).entries == []
    await audit.note("anna", "search", {"q": "green"}, 1)
    (path,) = (tmp_path / "deep" / "audit").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with path.open("ab") as file:
        file.write(b'{"time": "2026-\n')
    await audit.note("bob", "search", {"q": "x" * 10_000}, 0)
    newest, first = (await audit.entries()).entries
    assert (newest.who, first.who) == ("bob", "anna")
    assert len(newest.asked["q"]) <= LONG + 3


async def test_many_at_once_are_each_a_line(tmp_path):
    audit = Audit(tmp_path / "audit", KEEP)
    await asyncio.gather(*(audit.note("anna", "search", {"n": n}, n) for n in range(200)))
    assert {e.found for e in (await audit.entries(limit=1000)).entries} == set(range(200))


async def test_a_disk_that_refuses_costs_the_entry_and_not_the_answer(house, kept, tmp_path, caplog):
    (tmp_path / "audit").write_text("in the way")
    client = await house.serve()
    await answer(await client.get("/api/search", params={"q": "green"}))
    assert "cannot be written" in caplog.text


@given(age=st.integers(0, 400), keep=st.integers(1, 300))
def test_a_day_is_removed_when_all_of_it_is_too_old(tmp_path_factory, age, keep):
    folder = tmp_path_factory.mktemp("audit")
    day = datetime.now(UTC) - timedelta(days=age)
    path = folder / f"{day:%Y-%m-%d}.jsonl"
    for name in (path.name, "notes.txt", "2026-99-99.jsonl"):
        (folder / name).write_text("{}")
    Audit(folder, timedelta(days=keep)).sweep()
    assert path.exists() == (age <= keep)
    assert (folder / "notes.txt").exists()


async def test_old_days_go_while_the_service_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SWEEP", 0.01)
    (tmp_path / "2020-01-01.jsonl").write_text("{}\n")
    task = asyncio.create_task(Audit(tmp_path, KEEP).run())
    async with asyncio.timeout(20):
        while list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
        (tmp_path / "2020-01-02.jsonl").write_text(json.dumps({}))
        while list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
