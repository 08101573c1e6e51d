"""Tests what each caller is told of a state of the service: machines, folders and other cameras only to an admin."""

import asyncio
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from footage.indexer.disk import DiskMonitor
from footage.indexer.store.errors import StoreUnreachable
from footage.indexer.store.integrity import IndexHealth
from footage.indexer.supervisor import Supervisor
from footage.query.clips.service import ClipService
from footage.query.http import app
from footage.query.http.metrics import Metrics
from footage.query.http.starting import Startup, build_starting_app
from footage.query.http.tokens import add_token
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from tests.indexer.color_embedder import ColorEmbedder

DAMAGE = "the index in Cassandra 10.0.0.7:9042/footage is damaged: records of camera 'gate' were lost"
FULL = "the disk of /srv/gate is full"
SECRETS = ("10.0.0.7", "/footage", "/srv", "gate")
CALLERS = {"nobody": None, "anna": ("view", ("yard",)), "bob": ("view", ()), "boss": ("admin", ())}
ROUTES = ("/readyz", "/api/status", "/api/cameras", "/api/search?q=red")


@pytest.fixture
async def tokens(catalog):
    """The headers of each caller."""
    made = {name: await add_token(catalog, name, *given) for name, given in CALLERS.items() if given}
    return {name: {"Authorization": f"Bearer {made[name]}"} if name in made else {} for name in CALLERS}


@pytest.fixture
async def serve(store, catalog, tokens, tmp_path):
    """Makes a client of a service with a state."""
    embedder, opened = ColorEmbedder(), []
    bank = await NounBank.build(embedder)

    async def start(damage="", **state):
        async def find_damage():
            return damage

        clips = ClipService(store, catalog, tmp_path / "clips")
        engine = SearchEngine(embedder, store, catalog, bank, clips.get_frame, find_damage)
        health = IndexHealth(find_damage, 0.0)
        services = app.AppServices(store, catalog, engine, clips, Metrics(), health=health, **state)
        client = TestClient(TestServer(app.build_app(services)))
        await client.start_server()
        opened.append(client)
        return client

    yield start
    await asyncio.gather(*(client.close() for client in opened))


async def told(client, path, headers):
    async with client.get(path, headers=headers) as response:
        return await response.text()


@pytest.mark.parametrize("state", [{"damage": DAMAGE}, {"disk": DiskMonitor([], lambda _: FULL)}])
async def test_where_the_index_is_damaged_or_a_disk_full_is_told_to_an_admin_of_all_cameras(serve, tokens, state):
    client = await serve(**state)
    if disk := state.get("disk"):
        await disk.check()
    for path in ROUTES if "damage" in state else ROUTES[:3]:
        for name, headers in tokens.items():
            text = await told(client, path, headers)
            assert any(secret in text for secret in SECRETS) == (name == "boss"), (path, name, text)
            assert name == "nobody" or ("damaged" in text or "full" in text), "that it is so, each caller is told"


async def test_where_records_wait_for_the_index_is_told_to_an_admin_alone(serve, tokens):
    client = await serve(live=SimpleNamespace(problem=DAMAGE, cameras=lambda: []))
    for name, headers in tokens.items():
        async with client.get("/readyz", headers=headers) as response:
            (text,) = (await response.json())["degraded"]
        assert response.status == 200
        assert text.startswith("new records wait: ")
        assert any(secret in text for secret in SECRETS) == (name == "boss"), (name, text)


async def test_that_the_index_is_away_is_told_to_everybody_and_where_it_is_to_an_admin(serve, tokens, catalog):
    client = await serve()
    await told(client, "/api/status", tokens["boss"])  # the tokens are known from now on

    async def away(*_):
        raise StoreUnreachable("Cassandra 10.0.0.7:9042/footage: no node answers")

    catalog.bound_space = catalog.cameras = catalog.documents = away
    for path in ("/readyz", "/api/status"):
        for name, headers in tokens.items():
            async with client.get(path, headers=headers) as response:
                text = await response.text()
            assert response.status == (503 if headers or path == "/readyz" else 401)
            assert ("10.0.0.7" in text) == (name == "boss"), (path, name, text)


async def test_a_part_that_died_names_its_camera_only_to_who_may_see_it(serve, tokens):
    async def die():
        raise RuntimeError("an inner secret")

    async with Supervisor(pauses=(60.0, 60.0)) as supervisor:
        stage = supervisor.start("folder", die, camera="gate")
        while not stage.error:
            await asyncio.sleep(0)
        client = await serve(supervisor=supervisor)
        for name, headers in tokens.items():
            ready, cameras = await told(client, "/readyz", headers), await told(client, "/api/cameras", headers)
            assert "folder: restarting: RuntimeError" in ready
            assert "gate" not in ready
            assert ("gate" in cameras) == (name in ("bob", "boss"))
            assert "inner" not in ready + cameras


async def test_why_a_start_failed_is_told_to_an_admin_alone(catalog, tokens):
    startup = Startup("failed", DAMAGE, "the service could not start")
    async with TestClient(TestServer(build_starting_app(catalog, None, True, startup))) as client:
        for path in ("/readyz", "/api/status", "/api/search?q=red"):
            for name, headers in tokens.items():
                text = await told(client, path, headers)
                assert any(secret in text for secret in SECRETS) == (name == "boss"), (path, name, text)


async def test_without_tokens_whoever_is_on_this_machine_is_told_all_and_other_hosts_are_not(serve, catalog):
    for name in CALLERS:
        await catalog.put_document("token", name, None)
    client = await serve(damage=DAMAGE)
    assert "10.0.0.7" in await told(client, "/readyz", {})
    elsewhere = await told(client, "/readyz", {"Host": "evil.example"})
    assert "damaged" in elsewhere
    assert "10.0.0.7" not in elsewhere


async def test_a_clock_that_is_behind_is_told_to_everybody_and_the_service_is_ready(serve, tokens):
    client = await serve(clock_problem=lambda: "the clock of this machine is behind")
    for name, headers in tokens.items():
        async with client.get("/readyz", headers=headers) as response:
            assert (await response.json())["degraded"] == ["the clock of this machine is behind"]
        if name != "nobody":
            assert "is behind" in await told(client, "/api/cameras", headers)
