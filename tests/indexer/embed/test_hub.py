from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.choose import EmbedderOptions, choose
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.download import HubError
from footage.indexer.embed.hub import Hub
from footage.indexer.embed.inference_local import InferenceLocalEmbedder
from footage.indexer.embed.inference_server import InferenceServerEmbedder
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.embed.models import MODELS, ClipModel, find_model
from footage.indexer.embed.runtime import Plan
from tests.indexer.embed import tiny
from tests.ports import free_port

REPO = "someone/tiny-clip"
SHA = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """A hub on loopback: the listing with checksums, redirects to the files, ranges, and faults.

    Attributes:
        folder: the repository's content.
        breaks: how many downloads of networks break off half way.
        fetched: paths of downloads, in order.
        asked: how often the listing was read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.breaks, self.asked, self.sha = folder, 0, 0, SHA
        self.fetched: list[tuple[str, str | None]] = []
        self.app = web.Application()
        self.app.add_routes(
            [
                web.head("/", self._root),
                web.get("/api/models/{owner}/{name}/revision/{revision}", self._list),
                web.get("/{owner}/{name}/resolve/{revision}/{path:.+}", self._redirect),
                web.get("/cdn/{path:.+}", self._file),
            ]
        )

    async def _root(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _list(self, request: web.Request) -> web.Response:
        self.asked += 1
        if f"{request.match_info['owner']}/{request.match_info['name']}" != REPO:
            return web.json_response({"error": "Repository not found"}, status=404)
        assert request.query["blobs"] == "true"
        return web.json_response({"sha": self.sha, "siblings": [self._entry(path) for path in self._paths()]})

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def _entry(self, path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        entry: dict[str, Any] = {"rfilename": path.relative_to(self.folder).as_posix(), "size": len(content)}
        if path.suffix == ".onnx":
            return entry | {
                "blobId": "0" * 40,
                "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)},
            }
        return entry | {"blobId": blob}

    async def _redirect(self, request: web.Request) -> web.Response:
        assert request.match_info["revision"] == self.sha
        raise web.HTTPFound(f"/cdn/{request.match_info['path']}")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.fetched.append((path, request.headers.get("Range")))
        if path.endswith(".onnx") and self.breaks:
            self.breaks -= 1
            content = (self.folder / path).read_bytes()
            response = web.StreamResponse(headers={"Content-Length": str(len(content))})
            await response.prepare(request)
            await response.write(content[: len(content) // 2])
            assert request.transport
            request.transport.close()
            return response
        return web.FileResponse(self.folder / path)


@pytest.fixture
def fake(tmp_path: Path) -> FakeHub:
    folder = tiny.xenova(tmp_path / "repository")
    (folder / "README.md").write_text("not needed")
    (folder / "onnx" / "vision_model.onnx_data").write_bytes(b"weights beside the graph")
    return FakeHub(folder)


@pytest.fixture
async def hub(fake: FakeHub, tmp_path: Path, aiohttp_server: Callable[..., Awaitable[TestServer]]) -> Hub:
    server = await aiohttp_server(fake.app)
    return Hub(tmp_path / "cache", str(server.make_url("/")))


async def test_a_model_is_fetched_once_with_progress(hub: Hub, fake: FakeHub) -> None:
    reported: list[tuple[int, int]] = []
    folder = await hub.fetch(REPO, progress=lambda done, total: reported.append((done, total)))
    assert reported[-1][0] == reported[-1][1] == sum(total for total in {total for _, total in reported})
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()} >= {
        "onnx/vision_model.onnx",
        "onnx/vision_model.onnx_data",
        "onnx/text_model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "preprocessor_config.json",
        "config.json",
    }
    assert not list(folder.rglob("README.md")) + list(folder.rglob("*.part"))
    fake.fetched.clear()
    assert await hub.fetch(REPO) == folder == hub.downloaded_folder(REPO)
    assert not fake.fetched
    assert fake.asked == 1


async def test_one_of_several_models_of_a_repository_is_fetched(hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    inside = fake.folder / "onnx" / "s0"
    inside.mkdir()
    for name in ("vision_model.onnx", "text_model.onnx"):
        (fake.folder / "onnx" / name).rename(inside / name)
    (fake.folder / "preprocessor_config.json").rename(inside / "preprocessor_config.json")
    folder = await hub.fetch(REPO, inside="onnx/s0")
    assert hub.downloaded_folder(REPO, "onnx/s0") == folder != hub.downloaded_folder(REPO)
    clip = await ClipEmbedder.open(folder, cache=tmp_path, plan=Plan())
    assert (await clip.texts(["a cat"])).shape == (1, 48)
    await clip.close()


async def test_an_interrupted_download_is_resumed(hub: Hub, fake: FakeHub) -> None:
    fake.breaks = 1
    folder = await hub.fetch(REPO)
    path = "onnx/text_model.onnx"
    assert (folder / path).read_bytes() == (fake.folder / path).read_bytes()
    half = (fake.folder / path).stat().st_size // 2
    assert (path, f"bytes={half}-") in fake.fetched


async def test_a_deleted_file_is_fetched_again_at_the_same_revision(hub: Hub, fake: FakeHub) -> None:
    folder = await hub.fetch(REPO)
    (folder / "onnx" / "text_model.onnx").unlink()
    assert hub.downloaded_folder(REPO) is None
    (fake.folder / "onnx" / "text_model.onnx").write_bytes(
        b"x" * (fake.folder / "onnx" / "text_model.onnx").stat().st_size
    )
    with pytest.raises(HubError, match="not what the hub's checksum says"):
        await hub.fetch(REPO)
    assert not (folder / "onnx" / "text_model.onnx").exists()


async def test_a_corrupted_download_is_detected(hub: Hub, fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = fake._entry
    monkeypatch.setattr(
        fake, "_entry", lambda path: entry(path) | ({"blobId": "1" * 40} if path.suffix == ".json" else {})
    )
    with pytest.raises(HubError, match="checksum"):
        await hub.fetch(REPO)


async def test_a_model_missing_from_the_hub_is_reported(hub: Hub, fake: FakeHub) -> None:
    with pytest.raises(HubError, match="no public model nobody/nothing"):
        await hub.fetch("nobody/nothing")
    with pytest.raises(HubError, match="no 'int8' networks"):
        await hub.fetch(REPO, variant="int8")
    shutil.rmtree(fake.folder / "onnx")
    with pytest.raises(HubError, match="holds no CLIP model"):
        await hub.fetch(REPO)


async def test_a_path_outside_its_folder_is_refused(hub: Hub, fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = fake._entry

    def evil(path: Path) -> dict[str, Any]:
        return entry(path) | ({"rfilename": "onnx/../../../../config.json"} if path.name == "config.json" else {})

    monkeypatch.setattr(fake, "_entry", evil)
    folder = await hub.fetch(REPO)
    assert not list(folder.parent.parent.glob("config.json"))


async def test_an_unreachable_hub_is_reported_in_time(tmp_path: Path) -> None:
    hub = Hub(tmp_path, f"http://localhost:{free_port()}")
    assert not await hub.reachable()
    with pytest.raises(HubError, match="HF_ENDPOINT"):
        await hub.fetch(REPO)


async def test_a_silent_hub_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release: list[bool] = []

    def hang(*_: object) -> bool:
        while not release:
            time.sleep(0.01)
        return True

    monkeypatch.setattr("footage.indexer.embed.hub._answers", hang)
    async with asyncio.timeout(60):
        assert not await Hub(tmp_path).reachable(0.2)
    release.append(True)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model comes from the fake hub."""
    monkeypatch.setitem(MODELS, "clip/ViT-B-16", ClipModel("clip/ViT-B-16", REPO, 48, 64, 1, "none", None))


async def test_auto_takes_clip_where_the_hub_is_reachable(hub: Hub, fake: FakeHub, tmp_path: Path, table: None) -> None:
    wish = EmbedderOptions(cache=tmp_path / "cache", hub=hub.base)
    for why in ("fetched from", "its weights are here"):
        chosen = await choose(wish)
        assert isinstance(chosen.embedder, ClipEmbedder)
        assert chosen.line.startswith("clip/ViT-B-16 on ")
        assert why in chosen.line
        await chosen.embedder.close()


async def test_auto_takes_lite_where_the_hub_is_unreachable_and_asks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = Hub.reachable

    async def count(hub: Hub, seconds: float = 3) -> bool:
        asked.append(hub.base)
        return await answers(hub, seconds)

    monkeypatch.setattr(Hub, "reachable", count)
    for _ in range(2):
        chosen = await choose(
            EmbedderOptions(cache=tmp_path, hub=f"http://localhost:{free_port()}" if not asked else asked[0])
        )
        assert isinstance(chosen.embedder, LiteEmbedder)
        assert "cannot be reached" in chosen.line
        await chosen.embedder.close()
    assert len(asked) == 1


async def test_auto_keeps_to_the_space_of_the_index(hub: Hub, tmp_path: Path, table: None) -> None:
    chosen = await choose(EmbedderOptions(cache=tmp_path, hub=hub.base, bound=LiteEmbedder.space))
    assert isinstance(chosen.embedder, LiteEmbedder)
    await chosen.embedder.close()


async def test_a_folder_is_accepted_as_a_model(tmp_path: Path) -> None:
    folder = tiny.immich(tmp_path / "mine")
    chosen = await choose(EmbedderOptions(cache=tmp_path, kind="clip", model=str(folder), fit="pad"))
    assert chosen.embedder.space.name == "clip/mine"
    await chosen.embedder.close()


async def test_other_embedders_are_chosen_by_name(tmp_path: Path) -> None:
    for kind, made in (
        ("inference", InferenceLocalEmbedder),
        ("inference-server", InferenceServerEmbedder),
        ("lite", LiteEmbedder),
    ):
        chosen = await choose(EmbedderOptions(cache=tmp_path, kind=kind))
        assert isinstance(chosen.embedder, made)
        await chosen.embedder.close()
    with pytest.raises(EmbedderError, match="one of auto, lite"):
        await choose(EmbedderOptions(cache=tmp_path, kind="other"))


async def test_a_model_nobody_publishes_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="export it with open_clip"):
        await choose(EmbedderOptions(cache=tmp_path, kind="clip", model="clip/ViT-B-32-256-datacomp"))


def test_a_model_is_found_by_name_or_the_names_are_listed() -> None:
    assert find_model("ViT-B-32").name == "clip/ViT-B-32"
    assert find_model("owner/name").repo == "owner/name"
    with pytest.raises(EmbedderError, match="there are clip/ViT-B-16"):
        find_model("clip/ViT-Z")


def test_the_key_is_not_shown() -> None:
    assert "abc" not in repr(EmbedderOptions(cache=Path(), key="abc"))


def test_every_model_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    for model in MODELS.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{model.name}`"))
        for cell in (model.repo or "none known", str(model.dim), str(model.side), model.license, str(model.recall)):
            assert cell in row
