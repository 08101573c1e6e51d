import asyncio
import io
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image as Pillow

from footage.indexer.disk import DiskMonitor
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.integrity import IndexHealth
from footage.query.clips.service import ClipService
from footage.query.http import app, pictures
from footage.query.http.auth import UnsafeBind, check_bind
from footage.query.http.metrics import Metrics
from footage.query.http.routes import ROUTES
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from tests import films
from tests.indexer.color_embedder import COLORS, ColorEmbedder
from tests.indexer.files.test_file_indexer import plain

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
TOKEN = "a-long-random-text"


@pytest.fixture
async def service(store, catalog, tmp_path):
    """Makes clients of a service over one video: red, green and blue, ten seconds each."""
    film = films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue"], seconds=10), fps=10, gop=10)
    embedder = ColorEmbedder()
    await FileIndexer(embedder, store, catalog).run([Job(film, "yard", 1.0, START)])
    bank = await NounBank.build(embedder)
    opened: list[TestClient] = []

    async def start(token=None, **more):
        clip_service = ClipService(store, catalog, tmp_path / "clips")
        search_engine = SearchEngine(embedder, store, catalog, bank, clip_service.get_frame)
        services = app.AppServices(store, catalog, search_engine, clip_service, Metrics(), **more)
        client = TestClient(TestServer(app.build_app(services, token)))
        await client.start_server()
        opened.append(client)
        return client

    yield start
    await asyncio.gather(*(client.close() for client in opened))


async def error(response, status):
    """Check the error shape; returns the message."""
    assert response.status == status
    body = await response.json()
    assert set(body) == {"ok", "error", "hint", "status"}
    assert (body["ok"], body["status"]) == (False, status)
    return body["error"]


async def test_a_search_returns_moments_in_utc_with_usable_ids(service):
    client = await service()
    answer = await (await client.get("/api/search", params={"q": "something green"})).json()
    lists = {"moments", "coverage", "near_misses", "pairs"}
    assert set(answer) == lists | {"query", "next", "count", "looked", "complete", "problem"}
    assert answer["complete"]
    (moment,) = answer["moments"]
    assert set(moment) == {
        "id",
        "camera",
        "start",
        "end",
        "score",
        "best",
        "clock",
        "refined",
        "count",
        "others",
        "missing",
        "mark",
        "exported",
    }
    assert (moment["camera"], moment["clock"]) == ("yard", "given")
    assert moment["start"] == "2026-05-04T12:00:10Z"
    assert moment["end"] == "2026-05-04T12:00:20Z"
    assert [c["state"] for c in answer["coverage"]] == ["watched"]
    info = await (await client.get(f"/api/moments/{moment['id']}")).json()
    assert (info["start"], info["footage"]) == (moment["start"], True)
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


def form(**parts):
    data_form = FormData()
    for name, (color, size) in parts.items():
        image = Pillow.new("RGB", size, COLORS[color])
        data = io.BytesIO()
        image.save(data, "png")
        data_form.add_field(
            name.replace("_times_", "*"), data.getvalue(), filename=f"{color}.png", content_type="image/png"
        )
    return data_form


async def test_pictures_are_sent_as_parts_of_a_form(service):
    client = await service()
    found = await (await client.post("/api/search", data=form(plus=("green", (64, 48))))).json()
    assert [m["start"] for m in found["moments"]] == ["2026-05-04T12:00:10Z"]
    assert found["query"] == "green.png"
    both = form(plus_times_0=("red", (64, 48)), minus=("blue", (20, 20)))
    assert "weight" in await error(await client.post("/api/search", data=both), 400)
    summed = form(**{"plus_times_0.05": ("red", (64, 48)), "minus_times_2": ("green", (64, 48))})
    answer = await (await client.post("/api/search", params={"q": "blue"}, data=summed)).json()
    assert answer["query"] == "blue + 0.05*red.png - 2*green.png"
    assert [m["start"] for m in answer["moments"]] == ["2026-05-04T12:00:20Z"]


async def test_an_invalid_form_is_refused(service, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PICTURE", 1000)
    client = await service()
    await error(await client.post("/api/search", json={"q": "green"}), 415)
    assert "plus" in await error(await client.post("/api/search", data=form(other=("green", (9, 9)))), 400)
    broken = FormData()
    broken.add_field("plus", b"not a picture", filename="a.png", content_type="image/png")
    assert "photograph" in await error(await client.post("/api/search", data=broken), 415)
    large = FormData()
    large.add_field("plus", bytes(2000), filename="a.png", content_type="image/png")
    await error(await client.post("/api/search", data=large), 413)
    cut = {"Content-Type": "multipart/form-data; boundary=x"}
    await error(await client.post("/api/search", data=b"--x\r\nContent-Disp", headers=cut), 400)
    await error(await client.post("/api/search", data=b"", headers={"Content-Type": "multipart/form-data"}), 400)


async def test_next_leads_to_the_next_page(service):
    client = await service()
    asked = {"q": "red", "plus": "green", "limit": 1}
    first = await (await client.get("/api/search", params=asked)).json()
    if first["next"]:
        following = await client.get("/api/search", params=asked | {"after": first["next"]})
        assert (await following.json())["moments"] != first["moments"]
    wrong = {"q": "blue", "after": first["next"] or "e30"}
    assert "after" in await error(await client.get("/api/search", params=wrong), 400)


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
    assert whole.headers["X-Footage-Spans"] == f"2026-05-04T12:00:10Z/{whole.headers['X-Footage-End']}"
    part = await client.get(url, params={"pad": 0}, headers={"Range": "bytes=10-19"})
    assert (part.status, await part.read()) == (206, body[10:20])
    assert (await client.get(url, params={"pad": 0}, headers={"Range": f"bytes={len(body)}-"})).status == 416


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/api/search", "what to look for"),
        ("/api/search?q=no%20dogs", "what should be there"),
        ("/api/search?minus=dogs", "what should be there"),
        ("/api/search?q=a&hours=8", "8-18"),
        ("/api/search?q=a&days=today", "mon-fri"),
        ("/api/search?q=a&after=x", "after"),
        ("/api/search?plus=yard~1", "not in the index"),
        ("/api/search?q=%20", "what to look for"),
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
async def test_missing_resources_are_404_or_refused(service, path):
    response = await (await service()).get(path)
    assert response.status in (400, 404)
    await error(response, response.status)


async def test_missing_footage_is_reported(service, tmp_path):
    client = await service()
    moment = (await (await client.get("/api/search", params={"q": "green"})).json())["moments"][0]
    (tmp_path / "film.mp4").unlink()
    assert "film.mp4" in await error(await client.get(f"/api/moments/{moment['id']}/clip.mp4"), 404)
    assert "film.mp4" in await error(await client.get(f"/api/frames/{moment['best']['frame']}.jpg"), 404)
    info = await (await client.get(f"/api/moments/{moment['id']}")).json()
    assert info["footage"] is False


async def test_wrong_method_and_oversized_body_have_the_error_shape(service):
    client = await service()
    response = await client.put("/api/search", data=io.BytesIO(b"x" * (app.MAX_BODY + 1)))
    assert response.headers["Allow"]
    await error(response, 405)


async def test_with_a_token_every_route_requires_it(service):
    client = await service(TOKEN)
    for path in ("/api/search?q=a", "/api/cameras", "/metrics", "/openapi.json", "/nothing"):
        response = await client.get(path)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        await error(response, 401)
        await error(await client.get(path, headers={"Authorization": "Bearer wrong"}), 401)
    assert (await client.get("/healthz")).status == 200
    allowed = {"Authorization": f"Bearer {TOKEN}"}
    assert (await client.get("/api/cameras", headers=allowed)).status == 200


async def test_without_a_token_only_localhost_is_served(service):
    client = await service()
    evil = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    await error(await client.post("/api/search", data=form(plus=("green", (64, 48))), headers=evil), 403)
    for route in ROUTES:
        await error(await client.request(route.method, route.path, headers=evil), 403)
    for path in ("/api/cameras", "/nothing"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert (await client.get("/api/cameras", headers={"Host": "localhost:1"})).status == 200
    await error(await client.get("/api/cameras", headers={"Host": "evil.example"}), 403)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "cameras.example"])
def test_a_public_address_without_a_token_is_refused(host):
    with pytest.raises(UnsafeBind, match="token"):
        check_bind(host, None)
    check_bind(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_token(host):
    check_bind(host, None)


async def test_cameras_health_and_metrics(service):
    client = await service()
    (camera,) = (await (await client.get("/api/cameras")).json())["cameras"]
    assert (camera["camera"], camera["records"], camera["media"]) == ("yard", 30, 1)
    assert (await client.get("/readyz")).status == 200
    await client.get("/api/search", params={"q": "green"})
    text = await (await client.get("/metrics")).text()
    assert 'footage_searches_total{outcome="found"} 1.0' in text
    assert "footage_records 30.0" in text


async def test_the_openapi_document_has_every_route_and_model(service):
    client = await service()
    document = await (await client.get("/openapi.json")).json()
    served = {r.resource.canonical for r in client.app.router.routes() if isinstance(r, web.ResourceRoute)}
    assert set(document["paths"]) == served == {r.path for r in ROUTES}
    names = {p["name"] for p in document["paths"]["/api/search"]["get"]["parameters"]}
    assert names >= {"q", "plus", "minus", "camera", "from", "to", "hours", "days", "sort", "limit", "after"}
    answer = await (await client.get("/api/search", params={"q": "green"})).json()
    moment = document["components"]["schemas"]["MomentOut"]
    assert set(moment["required"]) == set(answer["moments"][0])
    assert json.dumps(document).count("$ref") > 5


async def test_an_internal_error_has_the_error_shape_and_no_secrets(service, monkeypatch):
    client = await service()

    async def fail(*_):
        raise RuntimeError("rtsp://user:secret@camera")

    monkeypatch.setattr(SearchEngine, "search", fail)
    assert "secret" not in await error(await client.get("/api/search", params={"q": "green"}), 500)


async def test_times_without_an_offset_are_read_in_the_machines_zone(service):
    client = await service()
    local = (START + timedelta(seconds=25)).astimezone().replace(tzinfo=None).isoformat()
    answer = await (await client.get("/api/search", params={"q": "blue", "from": local})).json()
    assert answer["moments"][0]["start"] == "2026-05-04T12:00:25Z"


async def test_a_damaged_index_and_a_full_disk_are_told_until_they_are_repaired(service):
    damage, disk = ["the index is damaged"], DiskMonitor([], lambda _: "the disk is full")

    async def find_damage():
        return damage[0]

    client = await service(health=IndexHealth(find_damage, 0.0), disk=disk)
    assert "damaged" in await error(await client.get("/readyz"), 503)
    assert "footage_index_damaged 1.0" in await (await client.get("/metrics")).text()
    assert (await (await client.get("/api/cameras")).json())["problem"] == "the index is damaged"
    damage[0] = ""
    assert (await client.get("/readyz")).status == 200
    assert "footage_index_damaged 0.0" in await (await client.get("/metrics")).text()
    await disk.check()
    assert "full" in await error(await client.get("/readyz"), 503)
    assert "full" in (await (await client.get("/api/cameras")).json())["problem"]
    assert (await client.get("/healthz")).status == 200


async def test_a_camera_whose_settings_are_wrong_is_in_the_list(service):
    client = await service(misconfigured={"front door": "'front door' cannot name a camera"})
    shown = {c["camera"]: c["live"] for c in (await (await client.get("/api/cameras")).json())["cameras"]}
    assert shown["yard"] is None
    assert (shown["front door"]["state"], "cannot name" in shown["front door"]["error"]) == ("misconfigured", True)


@pytest.mark.parametrize("worker", ["", "one"])
async def test_a_live_camera_without_footage_is_known_also_of_another_worker(service, catalog, worker):
    client = await service(misconfigured={"gate": "none"})
    shown = {c["camera"]: c["live"] for c in (await (await client.get("/api/cameras")).json())["cameras"]}
    load = {"busy": 0.0, "sustained": None, "dropped": 0}
    published = {"at": datetime.now(UTC).isoformat(), "load": load, "cameras": {"gate": shown["gate"]}}
    await catalog.put_document("status", "other", published)
    live = SimpleNamespace(cameras=lambda: [SimpleNamespace(name="lane")])
    client = await service(live=live, worker=worker)
    for camera, status in (("lane", 200), ("gate", 200 if worker else 400), ("nowhere", 400)):
        assert (await client.get("/api/search", params={"q": "a dog", "camera": camera})).status == status
    reader = await service()  # a service that reads no cameras
    assert (await reader.get("/api/search", params={"q": "a dog", "camera": "gate"})).status == 200


async def test_boxes_are_drawn_around_what_is_found(service, store, catalog, tmp_path):
    picture = tmp_path / "astronaut.png"
    Pillow.fromarray(skimage.data.astronaut()).save(picture)
    await FileIndexer(ColorEmbedder(), store, catalog).run([Job(picture, "den", 1.0, START)])
    client = await service()

    async def get(**params):
        response = await client.get("/api/frames/den~1777896000000000.jpg", params=params)
        assert response.status == 200
        return np.asarray(Pillow.open(io.BytesIO(await response.read()))).astype(int)

    plain_picture, drawn, small = await get(), await get(boxes="true"), await get(boxes="1", side=96)
    changed = np.abs(plain_picture - drawn).max(axis=2) > 60
    assert (plain_picture.shape, small.shape) == ((512, 512, 3), (96, 96, 3))
    assert changed[300:480, :40].any()  # the left edge of the person's box
    assert changed.mean() < 0.1
    assert np.abs(await get(boxes="false") - plain_picture).max() == 0
    region = await client.get("/api/frames/den~1777896000000000~10103040.jpg", params={"boxes": "0"})
    assert (await region.read()) == (await (await client.get("/api/frames/den~1777896000000000.jpg")).read())
