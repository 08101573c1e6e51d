"""Tests that cameras and folders are added, tried and removed over HTTP while the service runs."""

import asyncio
import json
import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from footage.commands import camera_admin
from footage.commands.camera_admin import ServiceCameras
from footage.commands.served_folders import ServedFolders
from footage.config.settings import Settings
from footage.indexer.embed.base import EmbedderError
from footage.indexer.live.service import LiveService
from footage.query.clips.service import ClipService
from footage.query.http import app, tokens
from footage.query.http.audit import AuditLog
from footage.query.http.metrics import Metrics
from footage.query.http.tokens import add_token
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from footage.stream.instants import DISTANT_FUTURE, EPOCH
from footage.stream.recording.archive import SegmentArchive
from tests import films as film_maker
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.conftest import catalog, store, supervisor
from tests.indexer.files.test_file_indexer import plain
from tests.ports import free_port
from tests.query.http.test_routes import error

__all__ = ["catalog", "store", "supervisor"]


@pytest.fixture
async def serve(store, catalog, supervisor, tmp_path):
    """Starts a service that reads no camera yet; data in ``tmp_path/data``."""
    settings = Settings(data=tmp_path / "data")
    embedder, added = ColorEmbedder(), []
    services = SimpleNamespace(
        embedder=embedder, store=store, catalog=catalog, refused=None, peers=None, decoder="software"
    )
    archive = SegmentArchive(tmp_path / "recordings")
    live = await LiveService.start(embedder, store, catalog, [], archive=archive, supervisor=supervisor)

    async def on_added(name):
        added.append(name)

    admin = ServiceCameras(settings, services, live, supervisor, {}, {"lost": "wrong"}, on_added)
    await admin.start()
    clips = ClipService(store, catalog, tmp_path / "clips")
    engine = SearchEngine(embedder, store, catalog, await NounBank.build(embedder), clips.get_frame)
    audit = AuditLog(tmp_path / "audit", timedelta(days=1))
    parts = app.AppServices(store, catalog, engine, clips, Metrics(), live, audit=audit, camera_admin=admin)
    client = TestClient(TestServer(app.build_app(parts)))
    await client.start_server()
    client.data, client.added, client.admin = settings.data, added, admin
    yield client
    await client.close()
    await live.stop(5.0)


async def until(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def cameras(client):
    return {c["camera"]: c for c in (await (await client.get("/api/cameras")).json())["cameras"]}


async def test_a_camera_is_tried_added_read_and_removed_and_its_password_never_comes_back(
    serve, rtsp, films, tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(camera_admin, "PROBE_SECONDS", 60.0)  # a busy machine needs more than ten
    server = rtsp(films, login="user:secret-word")
    url = server.url("yard", "user:secret-word")
    picture = await serve.post("/api/cameras/test", json={"url": url})
    assert (picture.status, picture.content_type) == (200, "image/jpeg")
    assert (await picture.read()).startswith(b"\xff\xd8")
    added = await serve.post("/api/cameras", json={"name": "yard", "url": url, "every": "200ms", "keep": "7d"})
    assert (added.status, await added.json()) == (200, {"camera": "yard", "kind": "camera"})
    assert serve.added == ["yard"]

    async def is_live():
        return (await cameras(serve)).get("yard", {}).get("live", {}).get("state") == "live"

    await until(is_live)
    assert "already" in await error(await serve.post("/api/cameras", json={"name": "yard", "url": url}), 400)
    file = serve.data / "cameras.yaml"
    assert file.stat().st_mode & 0o077 == 0
    shown = json.dumps(await cameras(serve)) + (next((tmp_path / "audit").iterdir())).read_text()
    assert "secret-word" not in shown + caplog.text
    assert (await serve.delete("/api/cameras/yard")).status == 200
    assert "yard" not in file.read_text()
    assert (await cameras(serve)).get("yard", {}).get("live") is None
    await error(await serve.delete("/api/cameras/yard"), 404)


async def test_a_camera_that_sends_nothing_is_told_without_its_password(serve):
    url = f"rtsp://user:secret-word@127.0.0.1:{free_port()}/none"
    told = await error(await serve.post("/api/cameras/test", json={"url": url}), 502)
    assert "secret-word" not in told


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"url": "rtsp://192.0.2.1/${FOOTAGE_TOKEN}"}, "variable"),
        ({"url": "file:///etc/passwd"}, "kind"),
        ({"url": "rtsp://"}, "host"),
        ({"url": ""}, "empty"),
        ({"url": "rtsp://192.0.2.1/a", "name": "a b"}, "name"),
        ({"url": "rtsp://192.0.2.1/a", "name": "lost"}, "already"),
        ({"url": "rtsp://192.0.2.1/a", "every": "soon"}, "every"),
        ({"url": "rtsp://192.0.2.1/a", "more": 1}, "more"),
        ({"url": "/nowhere/at/all"}, "folder"),
        ({"url": "/nowhere\0at/all"}, "folder"),
        ({"url": "/" + "x" * 300}, "folder"),
        ({"url": "/", "name": ".."}, "name"),
    ],
)
async def test_what_cannot_be_a_camera_is_refused(serve, fields, word):
    response = await serve.post("/api/cameras", json={"name": "yard"} | fields)
    assert word in await error(response, 400)
    assert not (serve.data / "cameras.yaml").exists()


async def test_a_folder_is_indexed_at_once_and_as_it_grows_and_not_after_it_is_removed(serve, store, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    film_maker.encode(folder / "one.mp4", plain(["red"], seconds=2), fps=10, gop=10)
    added = await serve.post("/api/cameras", json={"name": "den", "url": str(folder)})
    assert await added.json() == {"camera": "den", "kind": "folder"}

    async def has(files):
        return (await cameras(serve)).get("den", {}).get("media") == files

    await until(lambda: has(1))
    film_maker.encode(folder / "two.mp4", plain(["blue"], seconds=2), fps=10, gop=10)
    await until(lambda: has(2))
    assert "already" in await error(await serve.post("/api/cameras", json={"name": "den", "url": str(folder)}), 400)
    assert (await serve.delete("/api/cameras/den")).status == 200
    assert (await cameras(serve))["den"]["media"] == 2
    assert "den" not in (serve.data / "folders.yaml").read_text()


async def test_the_service_s_own_folders_cannot_be_added(serve, tmp_path):
    serve.data.mkdir(exist_ok=True)
    (serve.data / "recordings").mkdir()
    for folder in (serve.data, serve.data / "recordings", tmp_path):
        assert "own data" in await error(await serve.post("/api/cameras", json={"name": "x", "url": str(folder)}), 400)


async def test_only_an_admin_of_all_cameras_changes_them(serve, catalog, monkeypatch):
    monkeypatch.setattr(tokens, "CACHE_SECONDS", -1.0)
    for name, role, limits in (("anna", "review", ()), ("bert", "admin", ("yard",))):
        headers = {"Authorization": f"Bearer {await add_token(catalog, name, role, limits)}"}
        body = {"name": "yard", "url": "rtsp://192.0.2.1/a"}
        for response in (
            await serve.post("/api/cameras", json=body, headers=headers),
            await serve.post("/api/cameras/test", json={"url": body["url"]}, headers=headers),
            await serve.delete("/api/cameras/yard", headers=headers),
        ):
            assert response.status == 403


FOLDERS = """
cameras:
- {name: den, url: DEN}
- {url: DEN}
- den
- {name: a b, url: DEN}
- {name: 7, url: DEN}
- {name: den, url: DEN}
- {name: cave, url: cave}
- {name: hall, url: 5}
- {name: gate, url: DEN}
- {name: loft, url: DEN}
"""


@pytest.fixture
def folders(store, catalog, supervisor, tmp_path):
    """Folders that are indexed as a file says, with what is wrong in it."""
    services = SimpleNamespace(
        embedder=ColorEmbedder(), store=store, catalog=catalog, refused=None, peers=None, decoder="software"
    )
    (tmp_path / "videos").mkdir()
    film_maker.encode(tmp_path / "videos" / "one.mp4", plain(["red"], seconds=2), fps=10, gop=10)
    wrong = {}

    async def start(text, retry=60.0):
        served = ServedFolders(services, supervisor, 1.0, wrong, retry)
        (tmp_path / "folders.yaml").write_text(text.replace("DEN", str(tmp_path / "videos")))
        await served.start(tmp_path / "folders.yaml", ["gate"])
        return served

    start.wrong, start.services, start.file = wrong, services, tmp_path / "folders.yaml"
    return start


async def test_a_folder_that_is_written_wrong_takes_no_other_along(folders, catalog):
    served = await folders(FOLDERS)
    assert served.names() == {"den", "loft"}
    assert {name: told.removeprefix(f"{folders.file}: ").partition(":")[0] for name, told in folders.wrong.items()} == {
        "unnamed": "name",
        "a b": "name",
        "7": "name",
        "den": "another folder or a camera has this name; this one is not used",
        "gate": "another folder or a camera has this name; this one is not used",
        "cave": "url",
        "hall": "url",
    }

    async def indexed():
        return {c.camera for c in await catalog.cameras()} == {"den", "loft"}

    await until(indexed)
    for name in ("den", "loft"):
        await served.remove(name)


@pytest.mark.parametrize("text", ["cameras: [", "cameras: {den: 1}", "- den", "\x00", "cameras: 5"])
async def test_a_file_of_folders_that_cannot_be_read_is_told(folders, text, caplog):
    served = await folders(text)
    assert (served.names(), list(folders.wrong)) == (set(), ["folders.yaml"])
    assert str(folders.file) in caplog.text


async def test_a_file_of_folders_that_cannot_be_read_does_not_keep_a_camera(serve):
    await serve.post("/api/cameras", json={"name": "yard", "url": f"rtsp://127.0.0.1:{free_port()}/none"})
    (serve.data / "folders.yaml").write_text("cameras: [")
    assert "folders.yaml" in await error(await serve.delete("/api/cameras/den"), 400)
    assert (await serve.delete("/api/cameras/yard")).status == 200
    assert "yard" not in (serve.data / "cameras.yaml").read_text()


async def test_files_of_a_folder_that_could_not_be_indexed_are_tried_again(folders, catalog, caplog):
    away, embed = True, folders.services.embedder.images

    async def images(pictures):
        if away:
            raise EmbedderError("the server does not answer")
        return await embed(pictures)

    folders.services.embedder.images = images
    served = await folders("cameras: [{name: den, url: DEN}]", retry=0.1)

    async def failed_again():
        return caplog.text.count("1 files are not indexed yet, and tried again: the server does not answer") >= 2

    await until(failed_again)
    away = False

    async def indexed():
        return all(entry.done for entry in await catalog.media_between(["den"], EPOCH, DISTANT_FUTURE))

    await until(indexed)
    await served.remove("den")


async def test_a_file_of_a_folder_that_cannot_be_read_is_told(folders, caplog):
    (folders.file.parent / "videos" / "broken.mp4").write_bytes(b"no film")
    served = await folders("cameras: [{name: den, url: DEN}]")

    async def told():
        return "broken.mp4" in caplog.text

    await until(told)
    await served.remove("den")
