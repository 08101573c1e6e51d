from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from skimage import data

from footage.indexer.embed.base import EmbedderError, EmbedderUnreachable
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.embed.inference_server import InferenceServerEmbedder
from footage.indexer.embed.runtime import Plan
from footage.indexer.store.errors import SpaceMismatch
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.embed.conformance import TEXTS, EmbedderConformance, photographs
from tests.indexer.embed.fake_inference import KEY, Model, Server
from tests.ports import free_port
from tests.require import require

Start = Callable[..., Awaitable[InferenceServerEmbedder]]


@pytest.fixture
def server(inference_model: Model) -> Server:
    return Server(inference_model)


@pytest.fixture
async def start(server: Server, aiohttp_server: Callable[..., Awaitable[TestServer]]) -> AsyncIterator[Start]:
    made: list[InferenceServerEmbedder] = []
    running = await aiohttp_server(server.app)

    async def client(**options: object) -> InferenceServerEmbedder:
        made.append(InferenceServerEmbedder(str(running.make_url("/")), **({"key": KEY} | options)))  # type: ignore[arg-type]
        return made[-1]

    yield client
    for one in made:
        await one.close()


@pytest.fixture
async def embedder(start: Start) -> InferenceServerEmbedder:
    return await start()


class TestInferenceServer(EmbedderConformance):
    async def test_texts_find_their_image(self) -> None:  # type: ignore[override]
        """Skipped: random weights do not relate texts to images."""


class TestRealServer(EmbedderConformance):
    @pytest.fixture
    async def embedder(self) -> AsyncIterator[InferenceServerEmbedder]:
        url = os.environ.get("FOOTAGE_INFERENCE_URL")
        if url is None:
            require("inference-server", "set FOOTAGE_INFERENCE_URL to a real server, and ROBOFLOW_API_KEY")
        client = InferenceServerEmbedder(url, key=os.environ.get("ROBOFLOW_API_KEY"))
        yield client
        await client.close()


async def test_the_space_equals_that_of_the_weights_run_directly(
    embedder: InferenceServerEmbedder, weights: Path, tmp_path: Path
) -> None:
    direct = await ClipEmbedder.open(weights, cache=tmp_path, plan=Plan())
    images = [*photographs(), data.stereo_motorcycle()[0]]
    assert embedder.space == direct.space
    assert ((await direct.images(images) * await embedder.images(images)).sum(axis=1) > 0.995).all()
    assert ((await direct.texts(TEXTS) * await embedder.texts(TEXTS)).sum(axis=1) > 0.995).all()
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    for route in (direct, embedder):
        await catalog.bind_space(route.space, await fingerprint(route))
    await catalog.close()
    await direct.close()


async def test_an_index_refuses_another_fit(embedder: InferenceServerEmbedder, start: Start, tmp_path: Path) -> None:
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    await catalog.bind_space(embedder.space, await fingerprint(embedder))
    squashing = await start(fit="squash")
    with pytest.raises(SpaceMismatch):
        await catalog.bind_space(squashing.space, await fingerprint(squashing))
    await catalog.close()


async def test_requests_hold_eight_images_and_run_concurrently(
    embedder: InferenceServerEmbedder, server: Server
) -> None:
    vectors = await embedder.images([data.chelsea()] * 20)
    assert len(vectors) == 20
    assert sorted(count for _, count in server.asked) == [4, 8, 8]
    assert server.busiest > 1


async def test_a_lower_request_limit_is_remembered(embedder: InferenceServerEmbedder, server: Server) -> None:
    server.limit = 2
    images = [data.chelsea(), data.coffee(), data.rocket(), data.astronaut(), data.chelsea()[::-1]]
    vectors = await embedder.images(images)
    assert embedder.limits["image"] <= 2
    server.asked.clear()
    np.testing.assert_allclose(await embedder.images(images), vectors, atol=1e-5)
    assert all(count <= 2 for _, count in server.asked)


async def test_a_server_that_joins_images_is_sent_one_at_a_time(
    embedder: InferenceServerEmbedder, server: Server
) -> None:
    expected = await embedder.images(photographs())
    server.joins = True
    np.testing.assert_allclose(await embedder.images(photographs()), expected, atol=1e-5)
    assert embedder.limits["image"] == 1


async def test_a_single_failure_does_not_lower_the_limit(embedder: InferenceServerEmbedder, server: Server) -> None:
    server.faults = [500]
    await embedder.images(photographs())
    assert embedder.limits["image"] == 8


async def test_transient_errors_are_retried(embedder: InferenceServerEmbedder, server: Server) -> None:
    server.faults = [503, 0, 502, 429]
    assert len(await embedder.images(photographs())) == 4


@pytest.mark.parametrize("kind", ["image", "text"])
async def test_a_server_that_cannot_fetch_its_weights_says_what_to_look_at(
    kind: str, embedder: InferenceServerEmbedder, server: Server
) -> None:
    server.faults = [500] * 1000
    with pytest.raises(EmbedderError, match="fails: Internal error") as raised:
        await (embedder.images(photographs() * 2) if kind == "image" else embedder.texts(["a cat"] * 200))
    for what in ("ROBOFLOW_API_KEY", "network", "docker compose logs inference"):
        assert what in str(raised.value)
    assert len(server.asked) <= 4  # each may take it a minute


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (400, "Required Roboflow API key is missing. Visit https://docs.roboflow.com/", "set ROBOFLOW_API_KEY"),
        (403, "Unauthorized access to roboflow API - check API key", "set ROBOFLOW_API_KEY"),
        (402, "Not enough credits to perform this request.", "no credits left"),
        (423, "Roboflow API usage is paused.", "paused"),
        (404, "Not Found", "is it an Inference server"),
        (507, "Model loading failed due to restrictions of server configuration", "docker compose logs inference"),
    ],
)
async def test_a_refusal_says_what_to_do(
    status: int, message: str, hint: str, embedder: InferenceServerEmbedder, server: Server
) -> None:
    server.faults, server.message = [status], message
    with pytest.raises(EmbedderError, match=message.partition(".")[0]) as raised:
        await embedder.texts(["a cat"])
    assert hint in str(raised.value)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_server_that_cannot_reach_roboflow_is_not_called_silent(
    status: int, start: Start, server: Server
) -> None:
    server.faults, server.message = [status] * 100, "Internal error. Could not connect to Roboflow API."
    client = await start(max_wait=0.3)
    with pytest.raises(EmbedderUnreachable, match=r"answers, but does not work .*Could not connect") as raised:
        await client.texts(["a cat"])
    assert "docker compose logs inference" in str(raised.value)
    assert "has not answered" not in str(raised.value)


async def test_hundreds_of_texts_are_a_few_requests(embedder: InferenceServerEmbedder, server: Server) -> None:
    texts = [f"a {number} cat" for number in range(600)]
    vectors = await embedder.texts(texts)
    assert vectors.shape == (600, 512)
    assert len(server.asked) <= 4
    np.testing.assert_allclose(vectors[599], (await embedder.texts(texts[599:]))[0], atol=1e-5)


async def test_many_failures_at_once_are_one_error(start: Start, server: Server) -> None:
    server.faults = [404] * 100
    client = await start(limit=1)
    with pytest.raises(EmbedderError, match="refused"):
        await client.images(photographs() * 3)


async def test_an_unreachable_server_is_retried_then_reported(caplog: pytest.LogCaptureFixture) -> None:
    client = InferenceServerEmbedder(f"http://localhost:{free_port()}", key=KEY, max_wait=0.3)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(EmbedderUnreachable, match="docker compose --profile inference") as raised,
    ):
        await client.images(photographs())
    with pytest.raises(EmbedderUnreachable):
        await client.health()
    assert KEY not in str(raised.value) + caplog.text
    await client.close()


async def test_a_server_that_starts_late_is_used(server: Server) -> None:
    port = free_port()
    client = InferenceServerEmbedder(f"http://localhost:{port}", key=KEY, max_wait=20)
    waiting = asyncio.ensure_future(client.images(photographs()))
    async with asyncio.timeout(20):
        while client._session is None:
            await asyncio.sleep(0.01)
        async with TestServer(server.app, host="localhost", port=port):
            assert len(await waiting) == 4
            await client.close()


async def test_a_slow_server_is_unreachable(server: Server, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    release = asyncio.Event()

    async def stuck(*_: object) -> None:
        await release.wait()

    monkeypatch.setattr(server, "_checked", stuck)
    client = await start(timeout=0.2, max_wait=0.5)
    with pytest.raises(EmbedderUnreachable, match="it took too long"):
        await client.texts(["a cat"])
    release.set()


async def test_a_wrong_key_is_reported_without_showing_it(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    client = await start(key="another-key-5678")
    with caplog.at_level(logging.DEBUG), pytest.raises(EmbedderError, match="ROBOFLOW_API_KEY") as raised:
        await client.texts(["a cat"])
    ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]  # the stand-in's own
    assert "5678" not in str(raised.value) + "".join(ours)


async def test_an_unsupported_model_is_reported(start: Start) -> None:
    client = await start(model="ViT-L-14")
    with pytest.raises(EmbedderError, match="not found"):
        await client.texts(["a cat"])
    with pytest.raises(EmbedderError, match="it has: RN50"):
        await start(model="clip/ViT-X")


async def test_long_texts_are_truncated_with_a_warning(
    embedder: InferenceServerEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        cat, long = await embedder.texts(["cat", "cat " * 300])
    assert "of this text count" in caplog.text
    assert np.isfinite([cat, long]).all()


async def test_health_names_the_server(embedder: InferenceServerEmbedder) -> None:
    assert "Roboflow Inference Server 1.8.3 at http://" in await embedder.health()


async def test_jpeg_is_near_to_lossless(start: Start) -> None:
    images = [data.chelsea(), data.coffee()]
    exact, lossy = await start(), await start(quality=98)
    assert ((await exact.images(images) * await lossy.images(images)).sum(axis=1) > 0.9).all()


@pytest.mark.parametrize("url", ["localhost:9001", "ftp://server", "not a url"])
def test_a_wrong_address_is_reported(url: str) -> None:
    with pytest.raises(EmbedderError, match="expected something like"):
        InferenceServerEmbedder(url)


async def test_credentials_in_the_address_are_not_shown() -> None:
    client = InferenceServerEmbedder(f"http://user:word@localhost:{free_port()}/?api_key={KEY}", max_wait=0.1)
    with pytest.raises(EmbedderUnreachable) as raised:
        await client.texts(["a cat"])
    assert KEY not in str(raised.value)
    assert "word" not in str(raised.value)
    await client.close()
