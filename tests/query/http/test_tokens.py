"""Tokens against a real service over two cameras: roles, limits to cameras, and when they take effect."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestClient, TestServer

from footage.indexer.files.file_indexer import Indexer, Job
from footage.indexer.store.base import StoreUnreachable
from footage.query.clips.service import Cutter
from footage.query.http import app, sse, tokens
from footage.query.http.metrics import Metrics
from footage.query.http.routes import ROUTES
from footage.query.http.tokens import ROLES, TokenError, add, remove
from footage.query.http.watch_routes import Desk
from footage.query.scoring.noun_bank import Bank
from footage.query.search.engine import Searcher
from footage.query.values.ids import FrameId, MomentId
from footage.query.watches.alerts import Alerts
from footage.query.watches.watch import Watch, keep
from tests import films
from tests.indexer.files.test_file_indexer import plain
from tests.indexer.parts import ColourEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = START.replace(second=2)
SPAN = {"from": "2026-05-04T00:00Z", "to": "2026-05-05T00:00Z"}


class House:
    """A service over cameras yard and gate, which saw the same; every token is read anew at each request."""

    def __init__(self, store, catalog, folder):
        self.store, self.catalog, self.folder = store, catalog, folder
        self.asked = set()
        self.embedder, self.events, self.clients, self.audit = ColourEmbedder(), Alerts(), [], None

    async def open(self):
        film = films.encode(self.folder / "film.mp4", plain(["red", "green", "blue"], seconds=2), fps=10, gop=10)
        for camera in ("yard", "gate"):
            (self.folder / camera).mkdir()
            copy = self.folder / camera / "film.mp4"
            copy.write_bytes(film.read_bytes())
            await Indexer(self.embedder, self.store, self.catalog).run([Job(copy, camera, 1.0, START)])
        for name, cameras in (("yards", ("yard",)), ("gates", ("gate",)), ("both", ("gate", "yard")), ("all", ())):
            await keep(self.catalog, Watch(name=name, text="something green", cameras=cameras))
        self.bank = await Bank.of(self.embedder)
        return self

    async def serve(self, token=None, local=True):
        cutter = Cutter(self.store, self.catalog, self.folder / "clips")
        searcher = Searcher(self.embedder, self.store, self.catalog, self.bank, cutter.frame)
        desk = Desk(self.embedder, self.bank, self.events)
        parts = app.Parts(self.store, self.catalog, searcher, cutter, Metrics(), None, desk, self.audit)
        application = app.build(parts, token, local)
        application.on_response_prepare.append(self.note)
        client = TestClient(TestServer(application))
        await client.start_server()
        self.clients.append(client)
        return client

    async def note(self, request, _):
        if resource := request.match_info.route.resource:
            self.asked.add((request.method, resource.canonical))

    async def client(self, role="view", *cameras, name="anna"):
        """A client that sends a new token of that role, limited to cameras."""
        secret = await add(self.catalog, name, role, cameras)
        client = await self.serve()
        client.session.headers["Authorization"] = f"Bearer {secret}"
        return client


@pytest.fixture
async def house(store, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "FRESH", -1.0)
    house = await House(store, catalog, tmp_path).open()
    yield house
    await asyncio.gather(*(c.close() for c in house.clients))


async def answer(response, status=200):
    body = await response.json()
    assert response.status == status, body
    return body


def moment(camera):
    return str(MomentId(camera, LATER, LATER.replace(second=3), LATER))


def hidden(told):
    """Whether an answer tells of the camera that may not be seen."""
    return "gate" in json.dumps(told).replace("gates", "")


async def test_a_token_is_kept_as_a_hash_alone(catalog):
    secret = await add(catalog, "anna", "review", ("yard",))
    assert len(secret) >= 40
    assert secret not in json.dumps(await catalog.get("token"))
    assert secret != await add(catalog, "bob", "view")
    with pytest.raises(TokenError, match="already"):
        await add(catalog, "anna", "view")


@pytest.mark.parametrize(("name", "role"), [("a b", "view"), ("", "view"), ("anna", "owner"), ("local", "admin")])
async def test_a_token_that_cannot_be_is_refused(catalog, name, role):
    with pytest.raises(TokenError):
        await add(catalog, name, role)
    assert await catalog.get("token") == {}


async def test_with_the_first_token_the_service_closes_and_with_the_last_it_opens_on_loopback_alone(house):
    local, network = await house.serve(), await house.serve(local=False)
    await answer(await local.get("/api/cameras"))
    await answer(await network.get("/api/cameras"), 401)
    secret = await add(house.catalog, "anna", "view")
    sent = {"Authorization": f"Bearer {secret}"}
    for client in (local, network):
        await answer(await client.get("/api/cameras"), 401)
        await answer(await client.get("/api/cameras", headers={"Authorization": "Bearer x\udcff"}), 401)
        await answer(await client.get("/api/cameras", headers=sent))
        await answer(await client.get("/healthz"))
    await remove(house.catalog, "anna")
    await answer(await local.get("/api/cameras"))
    await answer(await network.get("/api/cameras"), 401)
    await answer(await network.get("/api/cameras", headers=sent), 401)


async def test_a_removed_token_is_refused_and_is_remembered_only_briefly(house, monkeypatch):
    await add(house.catalog, "other", "view")
    client = await house.client()
    await answer(await client.get("/api/cameras"))
    monkeypatch.setattr(tokens, "FRESH", 1e9)
    await answer(await client.get("/api/cameras"))
    await remove(house.catalog, "anna")
    await answer(await client.get("/api/cameras"))
    monkeypatch.setattr(tokens, "FRESH", 0.0)
    await answer(await client.get("/api/cameras"), 401)


async def test_the_token_of_the_settings_is_an_admin_without_limits(house):
    await add(house.catalog, "anna", "view", ("yard",))
    client = await house.serve("the one of the settings")
    client.session.headers["Authorization"] = "Bearer the one of the settings"
    assert hidden(await answer(await client.get("/api/cameras")))
    assert (await client.get("/metrics")).status == 200


async def test_tokens_hold_while_the_catalogue_is_away(house, monkeypatch):
    client, fresh = await house.client(), await house.serve()

    async def away(kind):
        raise StoreUnreachable("the cluster is away")

    await answer(await client.get("/openapi.json"))
    monkeypatch.setattr(house.catalog, "get", away)
    await answer(await client.get("/openapi.json"))
    await answer(await client.get("/openapi.json", headers={"Authorization": "Bearer x"}), 401)
    await answer(await fresh.get("/openapi.json"), 503)


ASKED = {
    "search": ("GET", "/api/search?q=green"),
    "clip_file": ("GET", f"/api/moments/{moment('yard')}/clip.mp4"),
    "export_zip": ("POST", "/api/export"),
    "add_watch": ("POST", "/api/watches"),
    "change_watch": ("PATCH", "/api/watches/yards"),
    "remove_watch": ("DELETE", "/api/watches/yards"),
    "metrics": ("GET", "/metrics"),
}
LEAST = {"search": "view", "clip_file": "review", "export_zip": "review"}
BODIES = {
    "export_zip": {"moments": [moment("yard")]},
    "add_watch": {"name": "new", "text": "green"},
    "change_watch": {"paused": True},
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("what", ASKED)
async def test_each_route_needs_its_role(house, role, what):
    client = await house.client(role)
    method, path = ASKED[what]
    response = await client.request(method, path, json=BODIES.get(what))
    allowed = ROLES.index(role) >= ROLES.index(LEAST.get(what, "admin"))
    assert response.status == (200 if allowed else 403)


async def test_the_document_tells_each_role(house):
    document = await answer(await (await house.client()).get("/openapi.json"))
    told = {(m.upper(), p): o.get("x-role") for p, item in document["paths"].items() for m, o in item.items()}
    assert told == {(r.method, r.path): r.role for r in ROUTES}
    assert {r.path for r in ROUTES if r.role is None} == {"/healthz", "/readyz"}
    clip = document["paths"]["/api/moments/{id}/clip.mp4"]["get"]
    assert {"401", "403"} <= set(clip["responses"])
    assert "review" in clip["description"]
    assert clip["security"] == [{"token": []}]


async def test_a_search_that_names_no_camera_is_of_those_that_may_be_seen(house):
    limited, whole = await house.client("view", "yard"), await house.client(name="bob")
    found = await answer(await limited.get("/api/search", params={"q": "green"}))
    assert [m["camera"] for m in found["moments"]] == ["yard"]
    assert {c["camera"] for c in found["coverage"]} == {"yard"}
    assert not hidden(found)
    nothing = await answer(await limited.get("/api/search", params={"q": "white"}))
    assert nothing["near_misses"]
    assert not hidden(nothing)
    assert hidden(await answer(await whole.get("/api/search", params={"q": "green"})))
    assert hidden(await answer(await whole.get("/api/search", params={"q": "white"})))


@pytest.mark.parametrize(
    "path",
    [
        "/api/search?q=green&camera=gate",
        "/api/search?q=green&camera=yard&camera=gate",
        "/api/search?q=green&camera=roof",
        f"/api/search?q=green&plus={FrameId('gate', LATER)}",
        f"/api/search?q=green&minus={moment('gate')}",
        f"/api/moments/{moment('gate')}",
        f"/api/moments/{moment('gate')}/clip.mp4",
        f"/api/frames/{FrameId('gate', LATER)}.jpg",
        "/api/watches/gates",
        "/api/watches/gates/test",
    ],
)
async def test_a_hidden_camera_that_is_named_is_refused(house, path):
    limited, whole = await house.client("admin", "yard"), await house.client("admin", name="bob")
    refused = await answer(await limited.get(path), 403)
    assert "may not see" in refused["error"]
    assert (await whole.get(path)).status == (400 if "roof" in path else 200)
    seen = path.replace("gate", "yard").replace("roof", "yard")
    assert (await limited.get(seen)).status == 200


async def test_an_export_with_a_moment_of_a_hidden_camera_is_refused(house):
    client = await house.client("admin", "yard")
    both = {"moments": [moment("yard"), moment("gate")]}
    await answer(await client.post("/api/export", json=both), 403)
    assert (await client.post("/api/export", json={"moments": [moment("yard")]})).status == 200


async def test_cameras_that_are_told_are_those_that_may_be_seen(house):
    client = await house.client("admin", "yard")
    found = await answer(await client.get("/api/cameras"))
    assert [c["camera"] for c in found["cameras"]] == ["yard"]


async def test_what_tells_of_all_cameras_is_not_for_limited_tokens(house):
    await answer(await (await house.client("admin", "yard")).get("/metrics"), 403)


async def test_errors_name_no_hidden_camera_or_watch(house):
    client = await house.client("admin", "yard", "ghost")
    unknown = await answer(await client.get("/api/search", params={"q": "green", "camera": "ghost"}), 400)
    assert "yard" in unknown["error"]
    assert not hidden(unknown)
    assert "gates" not in (await answer(await client.get("/api/watches/none"), 404))["error"]


async def test_watches_that_are_shown_stand_on_a_camera_that_may_be_seen(house):
    client = await house.client("view", "yard")
    found = await answer(await client.get("/api/watches"))
    assert {w["name"]: w["cameras"] for w in found["watches"]} == {"all": [], "both": ["yard"], "yards": ["yard"]}
    assert (await answer(await client.get("/api/watches/both")))["cameras"] == ["yard"]


@pytest.mark.parametrize("name", ["both", "all"])
async def test_a_back_test_looks_at_no_hidden_camera(house, name):
    limited, whole = await house.client("view", "yard"), await house.client(name="bob")
    path = f"/api/watches/{name}/test"
    every = await answer(await whole.get(path, params=SPAN))
    found = await answer(await limited.get(path, params=SPAN))
    assert {f["camera"] for f in every["firings"]} == {"gate", "yard"}
    assert {f["camera"] for f in found["firings"]} == {"yard"}
    assert found["frames"] * 2 == every["frames"]


@pytest.mark.parametrize("name", ["gates", "both", "all"])
async def test_a_watch_on_a_hidden_camera_is_not_changed(house, name):
    client = await house.client("admin", "yard")
    await answer(await client.patch(f"/api/watches/{name}", json={"paused": True}), 403)
    await answer(await client.delete(f"/api/watches/{name}"), 403)
    assert not (await house.catalog.get("watch"))[name]["paused"]
    await answer(await client.patch("/api/watches/yards", json={"paused": True}))
    await answer(await client.delete("/api/watches/yards"))


async def test_a_watch_is_added_on_cameras_that_may_be_seen(house):
    client = await house.client("admin", "yard")
    added = await answer(await client.post("/api/watches", json={"name": "own", "text": "green"}))
    assert added["cameras"] == ["yard"]
    other = {"name": "other", "cameras": ["yard"]}
    await answer(await client.post("/api/watches", json={"name": "x", "text": "green", "cameras": ["gate"]}), 403)
    frame = {camera: str(FrameId(camera, LATER)) for camera in ("gate", "yard")}
    await answer(await client.post("/api/watches", json=other | {"frame": frame["gate"]}), 403)
    await answer(await client.post("/api/watches", json=other | {"frame": frame["yard"]}))


async def heard(stream, count):
    """The cameras of the next events."""
    found = []
    async with asyncio.timeout(20):
        while len(found) < count:
            text = (await stream.content.readuntil(b"\n\n")).decode()
            found += [json.loads(line[6:])["camera"] for line in text.splitlines() if line.startswith("data: ")]
    return found


async def test_listeners_hear_only_of_cameras_that_may_be_seen(house):
    client = await house.client("view", "yard")
    async with client.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        for camera in ("gate", "yard", "gate", "yard"):
            house.events.publish("watch.fired", {"camera": camera})
        assert await heard(stream, 2) == ["yard", "yard"]
    async with client.get("/api/events", headers={"Last-Event-ID": "0"}) as stream:
        assert await heard(stream, 2) == ["yard", "yard"]


async def test_a_removed_token_hears_nothing_more(house, monkeypatch):
    await add(house.catalog, "other", "view")
    client = await house.client()
    async with client.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        house.events.publish("watch.fired", {"camera": "yard"})
        assert await heard(stream, 1) == ["yard"]
        await remove(house.catalog, "anna")
        house.events.publish("watch.fired", {"camera": "yard"})
        async with asyncio.timeout(20):
            assert await stream.content.read() == b""


async def test_a_removed_token_is_let_go_though_nothing_happens(house, monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT", 0.05)
    await add(house.catalog, "other", "view")
    client = await house.client()
    async with client.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        await remove(house.catalog, "anna")
        async with asyncio.timeout(20):
            assert b"data" not in await stream.content.read()
