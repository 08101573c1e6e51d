"""Tests tokens against a real service over two cameras: roles, limits to cameras, and when they take effect."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestClient, TestServer

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.errors import StoreUnreachable
from footage.query.clips.service import ClipService
from footage.query.http import app, sse, tokens
from footage.query.http.metrics import Metrics
from footage.query.http.routes import ROUTES
from footage.query.http.tokens import ROLES, TokenError, add_token, remove_token
from footage.query.http.watch_routes import WatchContext
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from footage.query.values.ids import FrameId, MomentId
from footage.query.watches.alert_stream import AlertStream
from footage.query.watches.watch import Watch, save_watch
from tests import films
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.files.test_file_indexer import plain

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = START.replace(second=2)
PUBLIC = {
    *(("GET", path) for path in ("/", "/web/{path}", "/favicon.ico", "/healthz", "/readyz")),
    *(("GET", f"/s/{{secret}}{path}") for path in ("", "/moment.json", "/picture.jpg", "/clip.mp4")),
    ("POST", "/api/session"),
    ("DELETE", "/api/session"),
}
"""What needs no token."""
SPAN = {"from": "2026-05-04T00:00Z", "to": "2026-05-05T00:00Z"}


class TwoCameraService:
    """A service over cameras yard and gate, with the same footage; tokens are read at each request."""

    def __init__(self, store, catalog, folder):
        self.store, self.catalog, self.folder = store, catalog, folder
        self.requested = set()
        self.embedder, self.events, self.clients, self.audit = ColorEmbedder(), AlertStream(), [], None

    async def open(self):
        film = films.encode(self.folder / "film.mp4", plain(["red", "green", "blue"], seconds=2), fps=10, gop=10)
        for camera in ("yard", "gate"):
            (self.folder / camera).mkdir()
            copy = self.folder / camera / "film.mp4"
            copy.write_bytes(film.read_bytes())
            await FileIndexer(self.embedder, self.store, self.catalog).run([Job(copy, camera, 1.0, START)])
        for name, cameras in (("yards", ("yard",)), ("gates", ("gate",)), ("both", ("gate", "yard")), ("all", ())):
            await save_watch(self.catalog, Watch(name=name, text="something green", cameras=cameras))
        self.bank = await NounBank.build(self.embedder)
        return self

    async def serve(self, token=None, local=True):
        clip_service = ClipService(self.store, self.catalog, self.folder / "clips")
        search_engine = SearchEngine(self.embedder, self.store, self.catalog, self.bank, clip_service.get_frame)
        watch_context = WatchContext(self.embedder, self.bank, self.events)
        services = app.AppServices(
            self.store, self.catalog, search_engine, clip_service, Metrics(), None, watch_context, self.audit
        )
        application = app.build_app(services, token, local)
        application.on_response_prepare.append(self.record_route)
        client = TestClient(TestServer(application))
        await client.start_server()
        self.clients.append(client)
        return client

    async def record_route(self, request, _):
        if resource := request.match_info.route.resource:
            self.requested.add((request.method, resource.canonical))

    async def client(self, role="view", *cameras, name="anna"):
        """A client with a new token of that role, limited to cameras."""
        secret = await add_token(self.catalog, name, role, cameras)
        client = await self.serve()
        client.session.headers["Authorization"] = f"Bearer {secret}"
        return client


@pytest.fixture
async def two_cameras(store, catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "CACHE_SECONDS", -1.0)
    two_cameras = await TwoCameraService(store, catalog, tmp_path).open()
    yield two_cameras
    await asyncio.gather(*(c.close() for c in two_cameras.clients))


async def answer(response, status=200):
    body = await response.json()
    assert response.status == status, body
    return body


def moment(camera):
    return str(MomentId(camera, LATER, LATER.replace(second=3), LATER))


def mentions_gate(body):
    """Whether an answer mentions the hidden camera."""
    return "gate" in json.dumps(body).replace("gates", "")


async def test_only_the_hash_of_a_token_is_stored(catalog):
    secret = await add_token(catalog, "anna", "review", ("yard",))
    assert len(secret) >= 40
    assert secret not in json.dumps(await catalog.documents("token"))
    assert secret != await add_token(catalog, "bob", "view")
    with pytest.raises(TokenError, match="already"):
        await add_token(catalog, "anna", "view")


@pytest.mark.parametrize(("name", "role"), [("a b", "view"), ("", "view"), ("anna", "owner"), ("local", "admin")])
async def test_an_invalid_token_is_refused(catalog, name, role):
    with pytest.raises(TokenError):
        await add_token(catalog, name, role)
    assert await catalog.documents("token") == {}


async def test_tokens_are_required_once_one_exists_and_always_off_loopback(two_cameras):
    local, network = await two_cameras.serve(), await two_cameras.serve(local=False)
    await answer(await local.get("/api/cameras"))
    await answer(await network.get("/api/cameras"), 401)
    secret = await add_token(two_cameras.catalog, "anna", "view")
    sent = {"Authorization": f"Bearer {secret}"}
    for client in (local, network):
        await answer(await client.get("/api/cameras"), 401)
        await answer(await client.get("/api/cameras", headers={"Authorization": "Bearer x\udcff"}), 401)
        await answer(await client.get("/api/cameras", headers=sent))
        await answer(await client.get("/healthz"))
    await remove_token(two_cameras.catalog, "anna")
    await answer(await local.get("/api/cameras"))
    await answer(await network.get("/api/cameras"), 401)
    await answer(await network.get("/api/cameras", headers=sent), 401)


async def test_a_removed_token_is_refused_when_the_cache_expires(two_cameras, monkeypatch):
    await add_token(two_cameras.catalog, "other", "view")
    client = await two_cameras.client()
    await answer(await client.get("/api/cameras"))
    monkeypatch.setattr(tokens, "CACHE_SECONDS", 1e9)
    await answer(await client.get("/api/cameras"))
    await remove_token(two_cameras.catalog, "anna")
    await answer(await client.get("/api/cameras"))
    monkeypatch.setattr(tokens, "CACHE_SECONDS", 0.0)
    await answer(await client.get("/api/cameras"), 401)


async def test_the_token_of_the_settings_is_an_unlimited_admin(two_cameras):
    await add_token(two_cameras.catalog, "anna", "view", ("yard",))
    client = await two_cameras.serve("the one of the settings")
    client.session.headers["Authorization"] = "Bearer the one of the settings"
    assert mentions_gate(await answer(await client.get("/api/cameras")))
    assert (await client.get("/metrics")).status == 200


async def test_cached_tokens_are_used_while_the_catalog_is_unreachable(two_cameras, monkeypatch):
    client, fresh = await two_cameras.client(), await two_cameras.serve()

    async def away(kind):
        raise StoreUnreachable("the cluster is away")

    await answer(await client.get("/openapi.json"))
    monkeypatch.setattr(two_cameras.catalog, "documents", away)
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
async def test_each_route_needs_its_role(two_cameras, role, what):
    client = await two_cameras.client(role)
    method, path = ASKED[what]
    response = await client.request(method, path, json=BODIES.get(what))
    allowed = ROLES.index(role) >= ROLES.index(LEAST.get(what, "admin"))
    assert response.status == (200 if allowed else 403)


async def test_the_openapi_document_has_each_role(two_cameras):
    document = await answer(await (await two_cameras.client()).get("/openapi.json"))
    roles = {(m.upper(), p): o.get("x-role") for p, item in document["paths"].items() for m, o in item.items()}
    assert roles == {(r.method, r.path): r.role for r in ROUTES}
    assert {(r.method, r.path) for r in ROUTES if r.role is None} == PUBLIC
    clip = document["paths"]["/api/moments/{id}/clip.mp4"]["get"]
    assert {"401", "403"} <= set(clip["responses"])
    assert "review" in clip["description"]
    assert clip["security"] == [{"token": []}]


async def test_a_search_without_cameras_covers_the_visible_ones(two_cameras):
    limited, whole = await two_cameras.client("view", "yard"), await two_cameras.client(name="bob")
    found = await answer(await limited.get("/api/search", params={"q": "green"}))
    assert [m["camera"] for m in found["moments"]] == ["yard"]
    assert {c["camera"] for c in found["coverage"]} == {"yard"}
    assert not mentions_gate(found)
    nothing = await answer(await limited.get("/api/search", params={"q": "white"}))
    assert nothing["near_misses"]
    assert not mentions_gate(nothing)
    assert mentions_gate(await answer(await whole.get("/api/search", params={"q": "green"})))
    assert mentions_gate(await answer(await whole.get("/api/search", params={"q": "white"})))


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
async def test_a_hidden_camera_is_refused(two_cameras, path):
    limited, whole = await two_cameras.client("admin", "yard"), await two_cameras.client("admin", name="bob")
    refused = await answer(await limited.get(path), 403)
    assert "may not see" in refused["error"]
    assert (await whole.get(path)).status == (400 if "roof" in path else 200)
    seen = path.replace("gate", "yard").replace("roof", "yard")
    assert (await limited.get(seen)).status == 200


async def test_an_export_from_a_hidden_camera_is_refused(two_cameras):
    client = await two_cameras.client("admin", "yard")
    both = {"moments": [moment("yard"), moment("gate")]}
    await answer(await client.post("/api/export", json=both), 403)
    assert (await client.post("/api/export", json={"moments": [moment("yard")]})).status == 200


async def test_only_visible_cameras_are_listed(two_cameras):
    client = await two_cameras.client("admin", "yard")
    found = await answer(await client.get("/api/cameras"))
    assert [c["camera"] for c in found["cameras"]] == ["yard"]


async def test_metrics_are_refused_to_limited_tokens(two_cameras):
    await answer(await (await two_cameras.client("admin", "yard")).get("/metrics"), 403)


async def test_errors_name_no_hidden_camera_or_watch(two_cameras):
    client = await two_cameras.client("admin", "yard", "ghost")
    unknown = await answer(await client.get("/api/search", params={"q": "green", "camera": "ghost"}), 400)
    assert "yard" in unknown["error"]
    assert not mentions_gate(unknown)
    assert "gates" not in (await answer(await client.get("/api/watches/none"), 404))["error"]


async def test_only_watches_of_visible_cameras_are_listed(two_cameras):
    client = await two_cameras.client("view", "yard")
    found = await answer(await client.get("/api/watches"))
    assert {w["name"]: w["cameras"] for w in found["watches"]} == {"all": [], "both": ["yard"], "yards": ["yard"]}
    assert (await answer(await client.get("/api/watches/both")))["cameras"] == ["yard"]


@pytest.mark.parametrize("name", ["both", "all"])
async def test_a_backtest_skips_hidden_cameras(two_cameras, name):
    limited, whole = await two_cameras.client("view", "yard"), await two_cameras.client(name="bob")
    path = f"/api/watches/{name}/test"
    every = await answer(await whole.get(path, params=SPAN))
    found = await answer(await limited.get(path, params=SPAN))
    assert {f["camera"] for f in every["firings"]} == {"gate", "yard"}
    assert {f["camera"] for f in found["firings"]} == {f["camera"] for f in found["candidates"]} == {"yard"}
    assert found["frames"] * 2 == every["frames"]


@pytest.mark.parametrize("name", ["gates", "both", "all"])
async def test_a_watch_on_a_hidden_camera_cannot_be_changed(two_cameras, name):
    client = await two_cameras.client("admin", "yard")
    await answer(await client.patch(f"/api/watches/{name}", json={"paused": True}), 403)
    await answer(await client.delete(f"/api/watches/{name}"), 403)
    assert not (await two_cameras.catalog.documents("watch"))[name]["paused"]
    await answer(await client.patch("/api/watches/yards", json={"paused": True}))
    await answer(await client.delete("/api/watches/yards"))


async def test_a_watch_is_added_on_visible_cameras_only(two_cameras):
    client = await two_cameras.client("admin", "yard")
    added = await answer(await client.post("/api/watches", json={"name": "own", "text": "green"}))
    assert added["cameras"] == ["yard"]
    other = {"name": "other", "cameras": ["yard"]}
    await answer(await client.post("/api/watches", json={"name": "x", "text": "green", "cameras": ["gate"]}), 403)
    frame = {camera: str(FrameId(camera, LATER)) for camera in ("gate", "yard")}
    await answer(await client.post("/api/watches", json=other | {"frame": frame["gate"]}), 403)
    await answer(await client.post("/api/watches", json=other | {"frame": frame["yard"]}))


async def read_cameras(stream, count):
    """The cameras of the next events."""
    found = []
    async with asyncio.timeout(20):
        while len(found) < count:
            text = (await stream.content.readuntil(b"\n\n")).decode()
            found += [json.loads(line[6:])["camera"] for line in text.splitlines() if line.startswith("data: ")]
    return found


async def test_events_of_hidden_cameras_are_not_sent(two_cameras):
    client = await two_cameras.client("view", "yard")
    async with client.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        for camera in ("gate", "yard", "gate", "yard"):
            two_cameras.events.publish("watch.fired", {"camera": camera})
        assert await read_cameras(stream, 2) == ["yard", "yard"]
    async with client.get("/api/events", headers={"Last-Event-ID": "0"}) as stream:
        assert await read_cameras(stream, 2) == ["yard", "yard"]


async def test_each_listener_gets_the_events_of_its_cameras_whatever_its_role(two_cameras):
    listeners = {}
    for role in ROLES:
        for seen in ((), ("yard",), ("gate",), ("yard", "gate")):
            client = await two_cameras.client(role, *seen, name=f"{role}-{'-'.join(seen) or 'all'}")
            listeners[role, seen] = await client.get("/api/events")
    nobody = await two_cameras.serve()
    await answer(await nobody.get("/api/events"), 401)
    sent = ["yard", "gate", "roof", "yard"]
    for camera in sent:
        two_cameras.events.publish("watch.fired", {"camera": camera})
    two_cameras.events.publish("other", {})  # of no camera: for those who may see all
    two_cameras.events.close()
    for (_, seen), stream in listeners.items():
        assert stream.status == 200
        got = [line.split(b'"')[3].decode() for line in (await stream.read()).splitlines() if b'"camera"' in line]
        assert got == [camera for camera in sent if not seen or camera in seen]
    assert len(listeners) == 12


async def test_removing_a_token_ends_its_event_stream(two_cameras, monkeypatch):
    await add_token(two_cameras.catalog, "other", "view")
    client = await two_cameras.client()
    async with client.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        two_cameras.events.publish("watch.fired", {"camera": "yard"})
        assert await read_cameras(stream, 1) == ["yard"]
        await remove_token(two_cameras.catalog, "anna")
        two_cameras.events.publish("watch.fired", {"camera": "yard"})
        async with asyncio.timeout(20):
            assert await stream.content.read() == b""


async def test_removing_a_token_ends_an_idle_event_stream(two_cameras, monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT", 0.05)
    await add_token(two_cameras.catalog, "other", "view")
    client = await two_cameras.client()
    async with client.get("/api/events") as stream:
        await stream.content.readuntil(b"\n\n")
        await remove_token(two_cameras.catalog, "anna")
        async with asyncio.timeout(20):
            assert b"data" not in await stream.content.read()
