"""Runs several services of one cluster in a process, each with its own disk, over one real index."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from footage.indexer.cluster.directory import ServiceDirectory
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.query.clips.service import ClipService
from footage.query.http import app
from footage.query.http.metrics import Metrics
from footage.query.peers.peers import Peers
from footage.query.peers.remote import PeerFootage
from footage.query.peers.signature import ServiceKey
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from footage.query.values.ids import FrameId, MomentId
from tests import films
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.files.test_file_indexer import plain

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = START.replace(second=3)
FRAME = FrameId("yard", LATER)
MOMENT = MomentId("yard", LATER, LATER.replace(second=5), LATER)
PICTURE, CLIP = f"/api/frames/{FRAME}.jpg", f"/api/moments/{MOMENT}/clip.mp4"


class OtherDisk:
    """A catalog as another machine has it: the same rows, and no file where they say that one is."""

    def __init__(self, catalog):
        self._catalog = catalog

    def __getattr__(self, name):
        return getattr(self._catalog, name)

    async def media_between(self, cameras, start, end):
        entries = await self._catalog.media_between(cameras, start, end)
        return [replace(e, media=replace(e.media, path=f"/elsewhere{e.media.path}")) for e in entries]


class Node:
    """A service: ``client`` asks it over HTTP, ``requests`` are those that it got, ``clips`` the whole cluster's."""

    def __init__(self, cluster: Cluster, name: str, machine: str, holds: bool) -> None:
        self.cluster, self.name, self.requests = cluster, name, []
        catalog = cluster.catalog if holds else OtherDisk(cluster.catalog)
        key = ServiceKey()
        self.directory = ServiceDirectory(cluster.catalog, name, machine, key.public)
        self.peers, self.key = Peers(self.directory, key), key
        local = ClipService(cluster.store, catalog, cluster.folder / name)
        self.clips = local.with_remote(PeerFootage(self.peers))
        engine = SearchEngine(cluster.embedder, cluster.store, catalog, cluster.bank, self.clips.get_frame)
        services = app.AppServices(
            cluster.store, catalog, engine, local, Metrics(), worker=name, peers=self.peers, export_clips=self.clips
        )
        self.app = app.build_app(services)
        self.app.on_response_prepare.append(self._note)

    async def start(self):
        self.client = TestClient(TestServer(self.app, shutdown_timeout=0.1))
        await self.client.start_server()
        self.directory.address = str(self.client.make_url("")).rstrip("/")
        await self.directory.announce()
        return self

    async def _note(self, request, _):
        self.requests.append((request.method, request.path))

    async def stop(self):
        await self.client.close()
        await self.peers.close()


class Cluster:
    """Services over one index of the camera 'yard': red, green and blue, two seconds each."""

    def __init__(self, store, catalog, folder: Path) -> None:
        self.store, self.catalog, self.folder = store, catalog, folder
        self.embedder, self.nodes, self.runners = ColorEmbedder(), [], []

    async def open(self):
        film = films.encode(self.folder / "film.mp4", plain(["red", "green", "blue"]), fps=10, gop=10)
        await FileIndexer(self.embedder, self.store, self.catalog).run([Job(film, "yard", 1.0, START)])
        self.bank = await NounBank.build(self.embedder)
        return self

    async def node(self, name: str, *, machine: str = "one", holds: bool = False) -> Node:
        self.nodes.append(await Node(self, name, machine, holds).start())
        return self.nodes[-1]

    async def fake(self, name: str, handler) -> str:
        """A service whose every answer comes from ``handler``; returns its address."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.runners.append(runner)
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        await self.announce(name, address)
        return address

    async def announce(self, name: str, address: str, machine: str = "one"):
        directory = ServiceDirectory(self.catalog, name, machine, ServiceKey().public)
        directory.address = address
        await directory.announce()

    async def close(self):
        await asyncio.gather(*(node.stop() for node in self.nodes), *(runner.cleanup() for runner in self.runners))


async def message(response, status):
    """The error of an answer, which has this status."""
    body = await response.json()
    assert (response.status, body["ok"]) == (status, False), body
    return body["error"]
