"""Tests marks over HTTP against a real service over two cameras."""

import io
import json
import zipfile

import pytest

from tests.query.http.test_routes import error
from tests.query.http.test_timeline_routes import answer
from tests.query.http.test_tokens import SPAN, two_cameras

__all__ = ["two_cameras"]
GREEN = {"q": "something green"}


async def green(client, **more):
    return (await answer(await client.get("/api/search", params=GREEN | more)))["moments"]


async def test_a_mark_is_set_found_narrowed_by_and_removed(two_cameras):
    client = await two_cameras.client("review")
    first, second = await green(client, sort="oldest")
    assert (first["mark"], first["exported"]) == (None, False)
    body = {"mark": "keep", "note": "<b>the van</b>", "query": GREEN["q"]}
    put = await answer(await client.put(f"/api/marks/{first['id']}", json=body))
    assert {k: put["mark"][k] for k in body} == body
    assert put["mark"]["by"] == "anna"
    found = {m["id"]: m["mark"] for m in await green(client)}
    assert found == {first["id"]: put["mark"], second["id"]: None}
    assert [m["id"] for m in await green(client, mark="keep")] == [first["id"]]
    assert [m["id"] for m in await green(client, mark="none")] == [second["id"]]
    nothing = await answer(await client.get("/api/search", params=GREEN | {"mark": "dismiss"}))
    assert (nothing["moments"], nothing["near_misses"]) == ([], [])
    assert (await answer(await client.get(f"/api/moments/{first['id']}")))["mark"] == put["mark"]
    (listed,) = (await answer(await client.get("/api/marks", params=SPAN | {"mark": "keep"})))["marks"]
    assert (listed["moment"], listed["camera"], listed["best"]) == (first["id"], first["camera"], first["best"]["time"])
    assert (await answer(await client.get("/api/marks", params=SPAN | {"mark": "dismiss"})))["marks"] == []
    assert (await answer(await client.delete(f"/api/marks/{first['id']}")))["mark"] is None
    assert [m["mark"] for m in await green(client)] == [None, None]
    await client.put(f"/api/marks/{first['id']}", json=body)
    assert (await answer(await client.put(f"/api/marks/{first['id']}", json={"mark": ""})))["mark"] is None
    assert (await answer(await client.get("/api/marks")))["marks"] == []


async def test_pages_of_a_narrowed_answer_go_on(two_cameras):
    client = await two_cameras.client("review")
    for moment in await green(client):
        await answer(await client.put(f"/api/marks/{moment['id']}", json={"mark": "keep"}))
    page = await answer(await client.get("/api/search", params=GREEN | {"mark": "keep", "limit": 1}))
    rest = await answer(
        await client.get("/api/search", params=GREEN | {"mark": "keep", "limit": 1, "after": page["next"]})
    )
    assert {m["camera"] for m in page["moments"] + rest["moments"]} == {"yard", "gate"}
    assert "after" in await error(await client.get("/api/search", params=GREEN | {"after": page["next"]}), 400)
    assert "mark" in await error(await client.get("/api/search", params=GREEN | {"mark": "keep", "only": "count"}), 400)


async def test_marks_of_hidden_cameras_are_hidden_and_cannot_be_set(two_cameras):
    everybody, client = await two_cameras.client("review", name="bert"), await two_cameras.client("review", "yard")
    marked = {m["camera"]: m["id"] for m in await green(everybody)}
    for id in marked.values():
        await answer(await everybody.put(f"/api/marks/{id}", json={"mark": "dismiss"}))
    assert [m["camera"] for m in (await answer(await client.get("/api/marks")))["marks"]] == ["yard"]
    assert "gate" in await error(await client.get("/api/marks", params={"camera": "gate"}), 403)
    for method in ("put", "delete"):
        body = {"json": {"mark": "keep"}} if method == "put" else {}
        response = await getattr(client, method)(f"/api/marks/{marked['gate']}", **body)
        assert "gate" in await error(response, 403)
    assert len((await answer(await everybody.get("/api/marks")))["marks"]) == 2


async def test_viewers_see_marks_and_set_none(two_cameras):
    client = await two_cameras.client("view")
    (moment, _) = await green(client)
    assert (await client.put(f"/api/marks/{moment['id']}", json={"mark": "keep"})).status == 403
    assert (await client.delete(f"/api/marks/{moment['id']}")).status == 403
    assert (await client.get("/api/marks")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"mark": "burn"},
        {"note": "x"},
        {"mark": "keep", "note": "x" * 2001},
        {"mark": "keep", "by": "somebody else"},
        {"mark": "keep", "at": "2020-01-01T00:00Z"},
    ],
)
async def test_an_invalid_mark_is_refused(two_cameras, body):
    client = await two_cameras.client("review")
    (moment, _) = await green(client)
    assert (await client.put(f"/api/marks/{moment['id']}", json=body)).status == 400
    assert (await answer(await client.get("/api/marks")))["marks"] == []


async def test_what_is_not_in_the_index_cannot_be_marked(two_cameras):
    client = await two_cameras.client("review")
    for id, status in (
        ("yard~1~2~3", 404),
        ("roof~1777896002000000~0~0", 404),
        ("yard~1777896002000000~0~9999999999999", 400),
    ):
        await error(await client.put(f"/api/marks/{id}", json={"mark": "keep"}), status)


async def test_an_export_tells_the_mark_and_answers_tell_the_export(two_cameras):
    client = await two_cameras.client("review", "yard")
    (moment,) = await green(client)
    await client.put(f"/api/marks/{moment['id']}", json={"mark": "keep", "note": "for the police"})
    response = await client.post("/api/export", json={"moments": [moment["id"]], "pad": 0})
    with zipfile.ZipFile(io.BytesIO(await response.read())) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["moments"][0]["mark"]["note"] == "for the police"
    (after,) = await green(client)
    assert after["exported"]
