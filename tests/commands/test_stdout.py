"""Tests that standard output holds answers only, while requests are retried and ``structlog`` is installed."""

import asyncio
import importlib.util
import json

import pytest

from tests import films
from tests.commands.runner import footage
from tests.indexer.embed import fake_inference, tiny


@pytest.fixture
async def server(aiohttp_server, tmp_path):
    """The stand-in for an Inference server, and the environment that chooses it."""
    model = fake_inference.Model(tiny.roboflow(tmp_path / "weights", fake_inference.SHAPE))
    server = fake_inference.Server(model)
    running = await aiohttp_server(server.app)
    server.env = {
        "FOOTAGE_EMBEDDER": "inference-server",
        "FOOTAGE_INFERENCE_URL": str(running.make_url("/")),
        "FOOTAGE_CACHE": str(tmp_path / "cache"),
        "FOOTAGE_DATA": str(tmp_path / "data"),
        "ROBOFLOW_API_KEY": fake_inference.KEY,
    }
    return server


async def run(server, *args):
    done = await asyncio.to_thread(footage, *args, **server.env)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
async def test_retries_are_not_printed_on_standard_output(server, tmp_path):
    assert importlib.util.find_spec("structlog"), "stamina prints on standard output only where structlog is installed"
    film = films.encode(tmp_path / "film.mp4", films.numbered(20), fps=10, gop=10)
    server.faults = [503, 503]
    code, out, err = await run(server, "index", film)
    assert (code, out) == (0, ""), err
    server.faults = [503, 503]
    code, out, err = await run(server, "search", "a cat", "--json")
    assert code in (0, 3), err
    assert "moments" in json.loads(out)
    assert server.faults == []
    assert "retry_scheduled" not in out + err
