"""Tests what the page is told while the service starts, and when the index is of another model."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import timedelta

import numpy as np
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from footage.commands.serve import _open_browser
from footage.commands.starting import starting_page
from footage.config.settings import Settings
from footage.indexer.embed.base import Space
from footage.indexer.store.sqlite import SqliteCatalog
from footage.query.http.audit import AuditLog
from footage.query.http.server import start_server
from footage.query.http.starting import Startup, build_starting_app
from footage.query.http.tokens import add_token
from tests.indexer.conftest import catalog
from tests.ports import free_port

__all__ = ["catalog"]


async def test_a_starting_service_serves_the_page_and_says_that_it_starts(catalog, tmp_path):
    startup = Startup()
    async with TestClient(TestServer(build_starting_app(catalog, None, True, startup))) as client:
        assert (await client.get("/")).status == (await client.get("/healthz")).status == 200
        assert (await client.head("/")).status == 200
        assert (await (await client.get("/api/session")).json())["name"] == "local"
        told = await (await client.get("/api/status")).json()
        assert (told["state"], told["records"], told["problem"]) == ("starting", 0, "")
        assert "model" in told["hint"]
        assert (await (await client.get("/api/cameras")).json())["cameras"] == []
        for path in ("/readyz", "/api/search?q=x", "/metrics", "/nothing"):
            response = await client.get(path)
            assert (response.status, (await response.json())["ok"]) == (503, False)
        startup.problem = "two\nlines"
        assert (await client.get("/readyz")).status == 503
        link = {"Sec-Fetch-Site": "cross-site"}
        assert (await client.get("/api/status", headers=link)).status == 403
        secret = await add_token(catalog, "anna", "view")
    audit = AuditLog(tmp_path / "audit", timedelta(days=1))
    async with TestClient(TestServer(build_starting_app(catalog, None, True, startup, audit))) as client:
        assert (await client.get("/api/status")).status == 401
        logged_in = await client.post("/api/session", json={"token": secret}, headers={"Sec-Fetch-Site": "same-origin"})
        assert logged_in.status == (await client.get("/api/status")).status == 200
        assert [entry.who for entry in (await audit.entries()).entries] == ["anna"]


async def test_why_the_start_failed_is_told_to_the_page_that_is_open(tmp_path):
    settings, stop = Settings(data=tmp_path / "data", port=0), asyncio.Event()
    async with starting_page(settings, None) as page, ClientSession("http://{}:{}".format(*page.address)) as browser:
        async with browser.get("/api/status") as reply:
            assert (await reply.json())["state"] == "starting"
        ending = asyncio.ensure_future(page.tell_failure("the model is broken", stop))
        async with browser.get("/api/status") as reply:
            told = await reply.json()
        assert (told["state"], told["problem"]) == ("failed", "the model is broken")
        assert "footage serve" in told["hint"]
        await ending


async def test_a_start_that_fails_waits_for_no_page_that_is_not_open_nor_after_a_signal(tmp_path):
    settings, stop = Settings(data=tmp_path / "data", port=0), asyncio.Event()
    async with starting_page(settings, None) as page, ClientSession("http://{}:{}".format(*page.address)) as browser:
        await page.tell_failure("the model is broken", stop)  # nobody has asked: at once
        page._startup.state = "starting"
        await (await browser.get("/api/status")).read()
        stop.set()
        await page.tell_failure("the model is broken", stop)


async def test_its_port_is_free_when_it_ends(tmp_path):
    settings = Settings(data=tmp_path / "data", port=0)
    async with starting_page(settings, None) as page:
        host, port = page.address
        await page.end()
        (await asyncio.start_server(lambda *_: None, host, port)).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_whoever_connects_while_the_service_takes_over_is_answered_by_it(catalog, tmp_path, host):
    settings = Settings(data=tmp_path / "data", host=host, port=0)

    async def ask():
        reader, writer = await asyncio.open_connection(*page.address)
        writer.write(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return json.loads(answer.partition(b"\r\n\r\n")[2])["state"]

    async with starting_page(settings, None) as page:
        assert await ask() == "starting"
        sockets = await page.hand_over()
        asked = [asyncio.create_task(ask()) for _ in range(20)]
        await asyncio.sleep(0)  # they connect while nobody answers
        after = build_starting_app(catalog, None, True, Startup("other_model"))
        runner = await start_server(after, host, 0, sockets)
        assert set(await asyncio.gather(*asked)) == {"other_model"}
        assert page.address in [address[:2] for address in runner.addresses]
        await runner.cleanup()
    (await asyncio.start_server(lambda *_: None, *page.address)).close()  # the port is free


def test_an_index_of_another_model_is_told_on_the_page_until_the_service_is_stopped(tmp_path):
    async def pin():
        catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
        await catalog.bind_space(Space("clip/ViT-B-16", 512), np.full(1024, 512**-0.5, "<f4").tobytes())
        await catalog.close()

    asyncio.run(pin())

    port = free_port()
    options = ("--port", str(port), "--embedder", "lite", "--data", str(tmp_path))
    command = [sys.executable, "-m", "footage", "serve", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        try:
            told = running.stderr.readline()
            assert re.search("clip/ViT-B-16.*lite/2", told), told
            deadline = time.monotonic() + 120
            while True:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=120) as reply:
                    status = json.loads(reply.read())
                if status["state"] == "other_model":
                    break
                assert time.monotonic() < deadline
            assert "clip/ViT-B-16" in status["problem"]
            assert "migrate" in status["hint"]
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 4
        finally:
            running.kill()


def test_the_page_is_opened_at_an_address_that_a_browser_can_ask(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for url in ("http://127.0.0.1:8710", "http://0.0.0.0:80", "http://[::]:80", "http://[::1]:80"):
        _open_browser(url)
    deadline = time.monotonic() + 120
    while len(opened) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    expected = {"http://127.0.0.1:8710", "http://localhost:80", "http://[::1]:80"}
    assert set(opened) == expected
