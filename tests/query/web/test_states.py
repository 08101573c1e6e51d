"""Tests what the page says of a service that is not ready: it has another model, fetches one, failed or ended."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from playwright.async_api import expect

from footage.indexer.embed.base import Space
from footage.indexer.store.sqlite import SqliteCatalog
from tests.ports import free_port

AWAY = ("503", "ERR_")
"""The browser logs every refusal and every connection that fails as an error."""


@pytest.fixture
def hub():
    """A hub of models that answers nothing until ``release`` is set, and then that it is broken: (URL, release)."""
    release = threading.Event()

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self):
            release.wait(60)
            self.send_error(500, "the hub is broken")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}", release
    release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def start(tmp_path):
    """Start ``footage serve`` at a port without waiting until it is ready; returns the process."""
    running = []

    def run(port, data, **variables):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("FOOTAGE_", "HF_"))} | {"TZ": "UTC"} | variables
        command = [sys.executable, "-m", "footage", "serve", "--data", str(data), "--port", str(port)]
        with (tmp_path / "log").open("a") as log:
            running.append(subprocess.Popen(command, stderr=log, env=env))
        return running[-1]

    yield run
    for one in running:
        one.kill()
        one.wait()


async def answers(port):
    """Wait until somebody listens at a port."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@pytest.mark.slow
async def test_a_model_that_is_fetched_or_fails_is_told_and_the_page_goes_on_by_itself(visit, start, hub, tmp_path):
    port, (address, release) = free_port(), hub
    service = start(
        port, tmp_path / "data", FOOTAGE_EMBEDDER="clip", HF_ENDPOINT=address, FOOTAGE_CACHE=str(tmp_path / "cache")
    )
    await answers(port)
    page = await visit(url=f"http://127.0.0.1:{port}", allow=AWAY)
    title, told = page.get_by_role("heading", level=1), page.locator(".first")
    await expect(title).to_have_text("Getting ready")
    await expect(told).to_contain_text("goes on by itself")
    release.set()
    await expect(title).to_have_text("The service could not start")
    await expect(told).to_contain_text(address)
    await expect(told).to_contain_text("start footage serve again")
    assert await asyncio.to_thread(service.wait, 60) != 0
    await expect(title).to_have_text("The service could not start")  # there is nobody left who could say so

    again = start(port, tmp_path / "data", FOOTAGE_EMBEDDER="lite")
    await expect(title).to_have_text("No footage yet")
    again.kill()
    alert = page.get_by_role("alert").filter(has_text="The service does not answer.")
    await expect(alert).to_contain_text("Is footage serve still running?")


async def test_an_index_of_another_model_is_told(visit, start, tmp_path):
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    catalog = await SqliteCatalog.open(data / "catalog.sqlite")
    await catalog.bind_space(Space("clip/ViT-B-16", 512), np.full(1024, 512**-0.5, "<f4").tobytes())
    await catalog.close()
    start(port, data, FOOTAGE_EMBEDDER="lite")
    await answers(port)
    page = await visit(url=f"http://127.0.0.1:{port}", allow=AWAY)
    await expect(page.get_by_role("heading", level=1)).to_have_text("This index was made with another model")
    told = page.locator(".first")
    await expect(told).to_contain_text(re.compile("clip/ViT-B-16.*lite/2"))
    await expect(told).to_contain_text("footage model migrate")


@pytest.mark.slow
async def test_a_service_that_ends_and_an_index_whose_records_are_lost_are_told(visit, start, index, tmp_path):
    data, port = tmp_path / "data", free_port()
    shutil.copytree(index, data)
    service = start(port, data, FOOTAGE_EMBEDDER="lite")
    await answers(port)
    page = await visit("/?q=a+bicycle", url=f"http://127.0.0.1:{port}", allow=AWAY)
    card = page.locator("#results article.card").first
    await expect(card).to_be_visible()
    service.kill()
    alert = page.get_by_role("alert").filter(has_text="The service does not answer.")
    await expect(alert).to_contain_text("Is footage serve still running?")
    await expect(card).to_be_visible()

    service.wait()
    shutil.rmtree(data / "vectors")
    start(port, data, FOOTAGE_EMBEDDER="lite")
    await expect(alert).to_have_count(0)
    await expect(page.locator(".banner")).to_contain_text("The index needs attention")
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing can be searched")
    await expect(page.locator(".banner")).to_contain_text("The index needs attention")
