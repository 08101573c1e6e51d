"""Tests shares against a real service over two cameras: what a link shows, to whom, and when it no longer does."""

import logging
from datetime import timedelta

import pytest

from footage.query.http import shares
from footage.query.http.audit import AuditLog
from footage.query.http.tokens import remove_token
from tests.query.http.test_mark_routes import green
from tests.query.http.test_routes import error
from tests.query.http.test_timeline_routes import answer
from tests.query.http.test_tokens import two_cameras

__all__ = ["two_cameras"]
PARTS = ("/moment.json", "/picture.jpg", "/clip.mp4")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Each lookup reads the catalog, as one after some seconds does."""
    monkeypatch.setattr(shares, "CACHE_SECONDS", -1.0)


async def share(client, expires="1h", **more):
    moment = (await green(client))[0]
    return await answer(await client.post("/api/shares", json={"moment": moment["id"], "expires": expires} | more))


async def stranger(two_cameras):
    client = await two_cameras.serve()
    assert (await client.get("/api/cameras")).status == 401
    return client


async def statuses(client, url):
    return [(await client.get(url + part)).status for part in PARTS]


async def test_a_link_shows_one_moment_without_a_token(two_cameras):
    client = await two_cameras.client("review", "yard")
    made = await share(client, note="for the neighbor")
    assert (made["camera"], made["by"], made["note"]) == ("yard", "anna", "for the neighbor")
    other = await stranger(two_cameras)
    moment = await answer(await other.get(made["url"] + "/moment.json"))
    assert (moment["camera"], moment["start"], moment["expires"]) == ("yard", made["start"], made["expires"])
    assert "neighbor" not in str(moment)
    picture = await other.get(made["url"] + "/picture.jpg")
    assert (picture.status, picture.content_type, picture.headers["Cache-Control"]) == (200, "image/jpeg", "no-store")
    clip = await other.get(made["url"] + "/clip.mp4", headers={"Range": "bytes=0-9"})
    assert (clip.status, clip.content_type, len(await clip.read())) == (206, "video/mp4", 10)
    secret = made["url"].rpartition("/")[2]
    for path in (f"/api/moments/{made['moment']}", "/api/search?q=x", "/api/shares"):
        assert (await other.get(path, headers={"Authorization": f"Bearer {secret}"})).status == 401


async def test_a_link_on_another_site_opens_its_page_and_nothing_else(two_cameras):
    made = await share(await two_cameras.client("review"))
    other = await stranger(two_cameras)
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    page = await other.get(made["url"], headers=link)
    assert page.status == 200
    assert "require-trusted-types-for" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    for part in PARTS:
        assert (await other.get(made["url"] + part, headers=link)).status == 403


async def test_a_link_ends_when_it_expires_or_is_withdrawn(two_cameras, monkeypatch):
    client = await two_cameras.client("review")
    other = await stranger(two_cameras)
    made = await share(client)
    assert await statuses(other, made["url"]) == [200] * 3
    await answer(await client.delete(f"/api/shares/{made['id']}"))
    assert await statuses(other, made["url"]) == [404] * 3
    await error(await client.delete(f"/api/shares/{made['id']}"), 404)
    monkeypatch.setattr(shares, "SHORTEST", timedelta(seconds=-10))
    gone = await share(client, "0s")
    assert await statuses(other, gone["url"]) == [404] * 3
    assert (await answer(await client.get("/api/shares")))["shares"] == []
    await share(client)
    assert len(await two_cameras.catalog.documents("share")) == 1  # what has expired is removed
    unknown = await other.get("/s/" + "x" * 43 + "/moment.json")
    assert await error(unknown, 404) == await error(await other.get(gone["url"] + "/moment.json"), 404)


async def test_a_link_ends_with_the_token_of_who_made_it(two_cameras):
    client, other = await two_cameras.client("review"), await two_cameras.client("admin", name="bert")
    made = await share(client)
    assert await statuses(other, made["url"]) == [200] * 3
    await remove_token(two_cameras.catalog, "anna")
    assert await statuses(other, made["url"]) == [404] * 3
    await two_cameras.client("review", name="anna")  # another token of that name, with the same rights
    assert await statuses(other, made["url"]) == [404] * 3


async def test_whoever_opens_a_link_is_in_the_audit_log_whatever_parts_they_ask_for(two_cameras, tmp_path):
    two_cameras.audit = AuditLog(tmp_path / "audit", timedelta(days=1))
    made = await share(await two_cameras.client("review"))
    other = await stranger(two_cameras)
    for start in ("0", "1", "1"):
        clip = await other.get(made["url"] + "/clip.mp4", headers={"Range": f"bytes={start}-"})
        assert clip.status == 206
    entries = [line for line in next((tmp_path / "audit").iterdir()).read_text().splitlines() if "shared_clip" in line]
    assert len(entries) == 1
    assert f"share:{made['id']}" in entries[0]


async def test_who_sees_and_withdraws_shares(two_cameras):
    anna, bert = await two_cameras.client("review"), await two_cameras.client("review", name="bert")
    viewer, yards = (
        await two_cameras.client("view", name="eve"),
        await two_cameras.client("review", "yard", name="cleo"),
    )
    moments = {m["camera"]: m["id"] for m in await green(anna)}
    made = await answer(await anna.post("/api/shares", json={"moment": moments["gate"]}))
    assert (await viewer.post("/api/shares", json={"moment": moments["gate"]})).status == 403
    assert (await viewer.get("/api/shares")).status == 403
    assert "gate" in await error(await yards.post("/api/shares", json={"moment": moments["gate"]}), 403)
    assert (await answer(await yards.get("/api/shares")))["shares"] == []
    await error(await yards.delete(f"/api/shares/{made['id']}"), 404)
    (listed,) = (await answer(await bert.get("/api/shares")))["shares"]
    assert (listed["id"], listed["url"]) == (made["id"], None)
    assert "anna" in await error(await bert.delete(f"/api/shares/{made['id']}"), 403)
    admin = await two_cameras.client("admin", name="root")
    assert (await answer(await admin.delete(f"/api/shares/{made['id']}")))["moment"] == moments["gate"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"expires": "91d"}, 400),
        ({"expires": "1s"}, 400),
        ({"expires": "for ever"}, 400),
        ({"note": "x" * 501}, 400),
        ({"moment": "yard~1~2~3"}, 404),
        ({"moment": "x"}, 400),
        ({"by": "somebody"}, 400),
    ],
)
async def test_an_invalid_share_is_refused(two_cameras, change, status):
    client = await two_cameras.client("review")
    (moment, _) = await green(client)
    await error(await client.post("/api/shares", json={"moment": moment["id"]} | change), status)


async def test_the_secret_is_nowhere_but_in_the_link(two_cameras, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    two_cameras.audit = AuditLog(tmp_path / "audit", timedelta(days=1))
    client = await two_cameras.client("review")
    made = await share(client)
    other = await stranger(two_cameras)
    await statuses(other, made["url"])

    async def fail(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr("footage.query.clips.service.ClipService.get_frame", fail)
    assert (await other.get(made["url"] + "/picture.jpg")).status == 500
    await client.delete(f"/api/shares/{made['id']}")
    secret = made["url"].rpartition("/")[2]
    audit = next((tmp_path / "audit").iterdir()).read_text()
    what = [line.split('"what":"')[1].split('"')[0] for line in audit.splitlines() if "share" in line]
    assert what == ["add_share", "open_share", "shared_picture", "shared_clip", "remove_share"]  # once a minute each
    logged = "".join(f"{r.getMessage()} {r.exc_text}" for r in caplog.records if r.name != "aiohttp.access")
    assert "/s/..." in logged
    for text in (audit, logged, str(await two_cameras.catalog.documents("share"))):
        assert secret not in text
    assert f"share:{made['id']}" in audit
