import asyncio
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from indexer.files import Indexer, Job
from query import app
from query.auth import Unsafe, check
from query.cutter import Cutter
from query.match import Bank
from query.metrics import Metrics
from query.routes import ROUTES
from query.search import Searcher
from tests import films
from tests.indexer.parts import ColourEmbedder
from tests.indexer.test_files import plain

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
TOKEN = "a-long-random-text"


@pytest.fixture
async def service(store, catalog, tmp_path):
    """Makes clients of a service over one film: red, green and blue, ten seconds each."""
    film = films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue"], seconds=10), fps=10, gop=10)
    embedder = ColourEmbedder()
    await Indexer(embedder, store, catalog).run([Job(film, "yard", 1.0, START)])
    bank = await Bank.of(embedder)
    opened: list[TestClient] = []

    async def start(token=None):
        searcher = Searcher(embedder, store, catalog, bank)
        parts = app.Parts(store, catalog, searcher, Cutter(store, catalog, tmp_path / "clips"), Metrics())
        client = TestClient(TestServer(app.build(parts, token)))
        await client.start_server()
        opened.append(client)
        return client

    yield start
    await asyncio.gather(*(client.close() for client in opened))


async def error(response, status):
    """The one error shape."""
    assert response.status == status
    body = await response.json()
    assert set(body) == {"ok", "error", "hint", "status"}
    assert (body["ok"], body["status"]) == (False, status)
    return body["error"]


async def test_a_search_answers_moments_in_utc_with_ids_that_lead_on(service):
    client = await service()
    answer = await (await client.get("/api/search", params={"q": "something green"})).json()
    assert set(answer) == {"moments", "coverage", "near_misses"}
    (moment,) = answer["moments"]
    assert set(moment) == {"id", "camera", "start", "end", "score", "best", "clock"}
    assert (moment["camera"], moment["clock"]) == ("yard", "given")
    assert moment["start"] == "2026-05-04T12:00:10Z"
    assert moment["end"] == "2026-05-04T12:00:20Z"
    assert [c["state"] for c in answer["coverage"]] == ["watched"]
    told = await (await client.get(f"/api/moments/{moment['id']}")).json()
    assert (told["start"], told["footage"]) == (moment["start"], True)
    picture = await client.get(f"/api/frames/{moment['best']['frame']}.jpg", params={"side": 32})
    assert (picture.status, picture.content_type) == (200, "image/jpeg")
    assert (await picture.read()).startswith(b"\xff\xd8")


async def test_filters_narrow_the_answer(service):
    client = await service()
    early = {"q": "blue", "from": "2026-05-04T12:00:00Z", "to": "2026-05-04T12:00:15Z"}
    assert (await (await client.get("/api/search", params=early)).json())["moments"] == []
    late = {"q": "blue", "from": "2026-05-04T12:00:25Z", "camera": "yard"}
    (moment,) = (await (await client.get("/api/search", params=late)).json())["moments"]
    assert moment["start"] == "2026-05-04T12:00:25Z"


async def test_nothing_found_is_an_empty_list_with_near_misses(service):
    client = await service()
    answer = await (await client.get("/api/search", params={"q": "white"})).json()
    assert answer["moments"] == []
    assert answer["near_misses"]


async def test_a_clip_answers_byte_ranges(service):
    client = await service()
    moment = (await (await client.get("/api/search", params={"q": "green"})).json())["moments"][0]
    url = f"/api/moments/{moment['id']}/clip.mp4"
    whole = await client.get(url, params={"pad": 0})
    body = await whole.read()
    assert (whole.status, whole.content_type) == (200, "video/mp4")
    assert whole.headers["X-Footage-Requested-Start"] == "2026-05-04T12:00:10Z"
    assert whole.headers["X-Footage-Start"] == "2026-05-04T12:00:10Z"
    part = await client.get(url, params={"pad": 0}, headers={"Range": "bytes=10-19"})
    assert (part.status, await part.read()) == (206, body[10:20])
    assert (await client.get(url, params={"pad": 0}, headers={"Range": f"bytes={len(body)}-"})).status == 416


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/api/search", "q"),
        ("/api/search?q=%20", "q"),
        ("/api/search?q=a&limit=0", "limit"),
        ("/api/search?q=a&limit=many", "limit"),
        ("/api/search?q=a&from=yesterday", "from"),
        ("/api/search?q=a&from=0001-01-01T00:00:00%2B10:00", "from"),
        ("/api/search?q=a&to=9999-12-31T23:59:59-10:00", "to"),
        ("/api/search?q=a&to=-99999999999d", "to"),
        ("/api/search?q=a&from=2026-01-02T00:00Z&to=2026-01-01T00:00Z", "from"),
        ("/api/search?q=a&camra=yard", "camra"),
        ("/api/search?q=a&camera=roof", "roof"),
        ("/api/search?q=a&q=b", "q"),
        ("/api/moments/none", "none"),
        ("/api/frames/none.jpg", "none"),
        ("/api/frames/yard~1.jpg?side=1000000", "side"),
        ("/api/moments/yard~1~2~3/clip.mp4?pad=-1", "pad"),
        ("/api/moments/yard~1~2~99999999999/clip.mp4", "hour"),
    ],
)
async def test_bad_input_is_400_and_names_what_is_wrong(service, path, word):
    assert word in await error(await (await service()).get(path), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/frames/roof~1.jpg",
        "/api/moments/roof~1~2~3/clip.mp4",
        "/api/frames/..%2f..%2fetc%2fpasswd.jpg",
        "/api/frames/../../etc/passwd",
    ],
)
async def test_what_is_not_there_is_404_or_refused(service, path):
    response = await (await service()).get(path)
    assert response.status in (400, 404)
    await error(response, response.status)


async def test_footage_that_is_gone_is_told(service, tmp_path):
    client = await service()
    moment = (await (await client.get("/api/search", params={"q": "green"})).json())["moments"][0]
    (tmp_path / "film.mp4").unlink()
    assert "film.mp4" in await error(await client.get(f"/api/moments/{moment['id']}/clip.mp4"), 404)
    assert "film.mp4" in await error(await client.get(f"/api/frames/{moment['best']['frame']}.jpg"), 404)
    told = await (await client.get(f"/api/moments/{moment['id']}")).json()
    assert told["footage"] is False


async def test_wrong_method_and_oversized_body_have_the_one_shape(service):
    client = await service()
    response = await client.post("/api/search", data=io.BytesIO(b"x" * (app.BODY + 1)))
    assert response.headers["Allow"]
    await error(response, 405)


async def test_with_a_token_nothing_is_told_without_it(service):
    client = await service(TOKEN)
    for path in ("/api/search?q=a", "/api/cameras", "/metrics", "/openapi.json", "/nothing"):
        response = await client.get(path)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        await error(response, 401)
        await error(await client.get(path, headers={"Authorization": "Bearer wrong"}), 401)
    assert (await client.get("/healthz")).status == 200
    allowed = {"Authorization": f"Bearer {TOKEN}"}
    assert (await client.get("/api/cameras", headers=allowed)).status == 200


async def test_without_a_token_only_this_machines_name_is_served(service):
    client = await service()
    assert (await client.get("/api/cameras", headers={"Host": "localhost:1"})).status == 200
    await error(await client.get("/api/cameras", headers={"Host": "evil.example"}), 403)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "cameras.example"])
def test_it_will_not_serve_the_network_without_a_token(host):
    with pytest.raises(Unsafe, match="token"):
        check(host, None)
    check(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_token(host):
    check(host, None)


async def test_cameras_health_and_metrics(service):
    client = await service()
    (camera,) = (await (await client.get("/api/cameras")).json())["cameras"]
    assert (camera["camera"], camera["records"], camera["media"]) == ("yard", 30, 1)
    assert (await client.get("/readyz")).status == 200
    await client.get("/api/search", params={"q": "green"})
    text = await (await client.get("/metrics")).text()
    assert 'footage_searches_total{outcome="found"} 1.0' in text
    assert "footage_records 30.0" in text


async def test_the_document_shows_every_route_and_its_answers(service):
    client = await service()
    document = await (await client.get("/openapi.json")).json()
    served = {r.resource.canonical for r in client.app.router.routes() if isinstance(r, web.ResourceRoute)}
    assert set(document["paths"]) == served == {r.path for r in ROUTES}
    names = {p["name"] for p in document["paths"]["/api/search"]["get"]["parameters"]}
    assert names == {"q", "camera", "from", "to", "limit"}
    answer = await (await client.get("/api/search", params={"q": "green"})).json()
    moment = document["components"]["schemas"]["MomentOut"]
    assert set(moment["required"]) == set(answer["moments"][0])
    assert json.dumps(document).count("$ref") > 5


async def test_a_fault_has_the_one_shape_and_tells_no_secrets(service, monkeypatch):
    client = await service()

    async def fail(*_):
        raise RuntimeError("rtsp://user:secret@camera")

    monkeypatch.setattr(Searcher, "search", fail)
    assert "secret" not in await error(await client.get("/api/search", params={"q": "green"}), 500)


async def test_times_without_an_offset_are_read_in_the_machines_zone(service):
    client = await service()
    local = (START + timedelta(seconds=25)).astimezone().replace(tzinfo=None).isoformat()
    answer = await (await client.get("/api/search", params={"q": "blue", "from": local})).json()
    assert answer["moments"][0]["start"] == "2026-05-04T12:00:25Z"
