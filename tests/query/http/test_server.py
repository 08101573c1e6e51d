"""Tests clients that stall, flood or vanish, on the sockets of the real server."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from footage.query.http import limits, server
from tests.query.watches.harness import until

CLIENTS = 30


def memory() -> float:
    """What this process holds in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / (1 << 20)


@pytest.fixture
async def serve(tmp_path, monkeypatch):
    """Starts a server of a large file, with short times; ``sockets`` are those that it accepted."""
    clip = tmp_path / "clip.mp4"
    with clip.open("wb") as file:
        file.truncate(64 << 20)
    monkeypatch.setattr(server, "STALL_TIMEOUT", 1.0)
    monkeypatch.setattr(server, "HEAD_TIMEOUT", 1.0)
    runners, writers = [], []

    async def answer(request):
        one.sockets.append(request.transport.get_extra_info("socket"))
        return limits.FileResponse(clip) if request.path == "/clip" else web.Response(text="ok")

    async def one(connections=CLIENTS * 2):
        monkeypatch.setattr(server, "MAX_CONNECTIONS", connections)
        app = web.Application()
        app.router.add_get("/{any:.*}", answer)
        runner = await server.start_server(app, "127.0.0.1", 0)
        runners.append(runner)

        async def connect(text):
            reader, writer = await asyncio.open_connection(*runner.addresses[0], limit=1 << 16)
            writers.append(writer)
            writer.write(text)
            return reader, writer

        return runner, connect

    one.sockets = []
    yield one
    for writer in writers:
        writer.close()
    for runner in runners:
        await runner.cleanup()


async def until_closed(reader):
    """Reads until the server closes the connection."""
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            await reader.read()


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def test_clients_that_do_not_read_a_clip_are_dropped(serve, caplog):
    runner, connect = await serve()
    before = memory()
    for _ in range(CLIENTS):
        await connect(get("/clip"))
    await until(lambda: len(serve.sockets) == CLIENTS)
    reader, _ = await connect(get("/other"))
    assert b" 200 " in await reader.readline()
    await until(lambda: len(runner.server.connections) <= 1)
    assert memory() - before < 60
    assert caplog.records == []


@pytest.mark.slow
async def test_a_slow_client_that_reads_is_served_to_the_end(serve, monkeypatch):
    monkeypatch.setattr(server, "STALL_TIMEOUT", 4.0)
    _, connect = await serve()
    reader, _ = await connect(get("/clip"))
    got, pauses = 0, 0
    while got < (64 << 20):
        chunk = await reader.read(1 << 22)
        assert chunk, "it was dropped"
        got += len(chunk)
        if got > pauses * (6 << 20):
            pauses += 1
            await asyncio.sleep(0.45)  # shorter than the timeout, and longer together
    assert pauses >= 10


async def test_heads_that_never_end_are_given_up(serve):
    runner, connect = await serve()
    connections = [await connect(b"GET /x HTTP/1.1\r\nHost: localhost\r\nX-A: ") for _ in range(CLIENTS)]

    async def drip():
        while True:
            for _, writer in connections:
                writer.write(b"a")
            await asyncio.sleep(0.05)

    task = asyncio.create_task(drip())
    await asyncio.gather(*(until_closed(reader) for reader, _ in connections))
    await until(lambda: not runner.server.connections)
    task.cancel()


async def test_idle_connections_are_closed(serve):
    runner, connect = await serve()
    connections = [await connect(get("/other") if i % 2 else b"") for i in range(CLIENTS)]
    await asyncio.gather(*(until_closed(reader) for reader, _ in connections))
    await until(lambda: not runner.server.connections)


async def test_further_connections_are_told_to_come_again(serve, monkeypatch):
    monkeypatch.setattr(server, "HEAD_TIMEOUT", 300.0)  # those that are held stay
    runner, connect = await serve(connections=10)
    held = [await connect(b"") for _ in range(10)]
    await until(lambda: len(runner.server.connections) == 10)
    for _ in range(CLIENTS):
        reader, _ = await connect(get("/other"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 5" in head
        assert json.loads(body)["status"] == 503
    held[0][1].close()
    await until(lambda: len(runner.server.connections) < 10)
    reader, _ = await connect(get("/other"))
    assert b" 200 " in await reader.readline()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such option")
async def test_connections_to_a_client_that_vanished_end_too(serve, monkeypatch):
    """A client that vanished acknowledges nothing, as one that does not read; when idle, it is probed."""
    monkeypatch.setattr(server, "HEAD_TIMEOUT", 300.0)
    _, connect = await serve()
    await connect(get("/other"))
    await until(lambda: serve.sockets)
    (accepted,) = serve.sockets
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 120
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) <= 60


async def test_what_is_not_http_does_not_fill_the_log(serve, caplog):
    caplog.set_level(logging.INFO)
    _, connect = await serve()
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", get("/x").replace(b"Host", b"Ho\0st")) * 10:
        reader, _ = await connect(garbage + b"\r\n\r\n")
        assert b" 400 " in await reader.readline()
    assert caplog.records == []
