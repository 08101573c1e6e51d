"""Tests that a background stage of ``footage serve`` cannot die unheard: each is made to raise, and looked for."""

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from aiohttp.test_utils import TestClient, TestServer

from footage.commands import serve, service
from footage.commands.camera_file import folder_file, write_cameras
from footage.commands.composition import SearchServices
from footage.commands.peers import open_peers
from footage.commands.served_folders import ServedFolders
from footage.commands.service import run_service
from footage.config.settings import Settings
from footage.indexer.cluster.directory import ServiceDirectory
from footage.indexer.cluster.leases import Leases
from footage.indexer.cluster.worker import Worker
from footage.indexer.disk import DiskMonitor
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.live.retention import Retention
from footage.indexer.live.service import LiveService
from footage.indexer.pipeline.pipeline import Pipeline
from footage.indexer.pipeline.retry import SpoolingWriter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record
from footage.indexer.store.integrity import IndexHealth
from footage.indexer.supervisor import StageFailed, Supervisor
from footage.query.clips.service import ClipService
from footage.query.http import camera_status
from footage.query.http.app import build_app
from footage.query.http.audit import AuditLog
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from footage.query.watches.evaluator import WatchEvaluator
from footage.query.watches.outbox import Delivery, Outbox
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.watch import Watch, save_watch
from footage.query.watches.webhook import WebhookSender
from footage.stream.frame import Clock, Kind, Media
from footage.stream.recording.archive import SegmentArchive
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.conftest import catalog, store

__all__ = ["catalog", "store"]

RESTARTED = {
    "catalog": (CatalogWriter, "run"),
    "coverage": (LiveService, "_tick"),
    "retention": (Retention, "run"),
    "status": (camera_status, "publish_status"),
    "maintenance": (service, "_maintain"),
    "watches": (WatchEvaluator, "run"),
    "audit": (AuditLog, "run"),
    "leases": (Leases, "run"),
    "worker": (Worker, "run"),
    "model": (serve, "_check_model"),
    "disk": (DiskMonitor, "run"),
    "peers": (ServiceDirectory, "run"),
    "spool": (SpoolingWriter, "_drain"),
    "background": (WatchScorer, "_sample_again"),
    "webhooks": (WebhookSender, "_deliver_queue"),
    "folder": (ServedFolders, "_index_folder"),
}
"""Each stage that can be restarted, and the function that does its work."""
UNSHARED = {"background", "webhooks", "folder"}
"""Those that have nothing to do, or are not there, in a service of a cluster here."""
SHARED = {"leases", "worker", "peers", "spool"}
"""Those that only a service of a cluster has."""
ENDING = {"pipeline": (Pipeline, "_write_batches"), "embedding": (Pipeline, "_embed_batches")}


def test_every_stage_of_a_service_is_made_to_raise_here():
    """The stages that the code starts by name; those of commands that end by themselves are not a service's."""
    folder = Path(service.__file__).parents[1]
    files = [path for part in ("commands", "indexer", "query") for path in (folder / part).rglob("*.py")]
    code = "\n".join(p.read_text() for p in files if p.name not in ("index.py", "indexing.py", "model.py"))
    found = set(re.findall(r'upervisor\.start\(\s*"(\w+)"', code))
    found |= set(re.findall(r"upervisor\.running\((\w+)=", code))
    assert found >= {"pipeline", "spool", "disk"}, "what the code looks like has changed: look for stages otherwise"
    assert found - {"pipeline"} <= set(RESTARTED)


@pytest.mark.parametrize("shared", [False, True])
async def test_a_running_service_has_no_other_stages(shared, services, busy, tmp_path):
    async with running(settings(tmp_path, shared=shared), services) as (client, _):
        expected = set(RESTARTED) - (UNSHARED if shared else SHARED)
        async with asyncio.timeout(60):
            while True:
                metrics = await (await client.get("/metrics")).text()
                found = set(re.findall(r'footage_stage_up\{stage="(\w+)"\}', metrics))
                if found >= expected:
                    break
                await asyncio.sleep(0.05)
        assert services.clip_service.hold.__func__ is SegmentArchive.protect, "searches read pictures of segments"
    assert found == expected | {"pipeline"}


@pytest.fixture
async def busy(services, tmp_path):
    """What starts all of a service's stages: records, a watch, an alert to deliver, records that wait, a folder."""
    (tmp_path / "videos").mkdir()
    write_cameras(folder_file(tmp_path / "index"), [{"name": "shed", "url": str(tmp_path / "videos")}])
    now = datetime.now(UTC)
    (red,) = await services.embedder.texts(["red"])
    records = [Record("yard", now - timedelta(seconds=600 - i), "m" * 16, float(i), red) for i in range(200)]
    await services.catalog.add_media(
        Media("m" * 16, "yard", "/yard.mp4", Kind.VIDEO, now - timedelta(seconds=600), Clock.GIVEN, 600.0), ""
    )
    await services.store.write(records)
    watch = Watch(name="w", text="something red", webhook="http://127.0.0.1:9/", since=now - timedelta(hours=1))
    await save_watch(services.catalog, watch)
    delivery = Delivery(id="1", watch="w", owner=watch.id, body="{}", created=now)
    await Outbox(services.catalog).add(delivery)
    await Spool(tmp_path / "index" / "spool", 1 << 20).append(records[:3])


async def nothing_wrong():
    return ""


@pytest.fixture
async def services(store, catalog, tmp_path):
    embedder = ColorEmbedder()
    await catalog.bind_space(embedder.space, await fingerprint(embedder))
    bank = await NounBank.build(embedder)
    clips = ClipService(store, catalog, tmp_path / "clips")
    engine = SearchEngine(embedder, store, catalog, bank, clips.get_frame)
    return SearchServices(store, catalog, embedder, bank, engine, clips, "colors", IndexHealth(nothing_wrong), None)


def settings(tmp_path, shared=False):
    one = {"name": "yard", "url": "rtsp://127.0.0.1:9/yard", "record": False}
    more = {"store": "cassandra", "worker": "w1"} if shared else {"cameras": [one]}
    return Settings(data=tmp_path / "index", **more)


@pytest.fixture
def dying(monkeypatch):
    """Makes a stage's function raise until the event that it returns is set; supervisors hardly pause."""
    monkeypatch.setattr(service, "Supervisor", partial(Supervisor, pauses=(0.02, 0.1)))

    def patch(owner, name):
        work, well = getattr(owner, name), asyncio.Event()

        async def raise_first(*args, **more):
            if not well.is_set():
                raise RuntimeError("an inner secret")
            await work(*args, **more)

        monkeypatch.setattr(owner, name, raise_first)
        return well

    return patch


@asynccontextmanager
async def running(settings, services):
    """The service with its routes, and what ``footage serve`` waits for."""
    async with AsyncExitStack() as stack:
        services = replace(
            services, peers=await stack.enter_async_context(open_peers(settings, services.catalog, "w1"))
        )
        app_services = await stack.enter_async_context(run_service(settings, services))
        client = await stack.enter_async_context(TestClient(TestServer(build_app(app_services))))
        runner = SimpleNamespace(addresses=[("127.0.0.1", 9)])
        await stack.enter_async_context(serve._announced(settings, services, runner, app_services.supervisor))
        waiting = asyncio.create_task(serve._wait(asyncio.Event(), services, app_services.supervisor))
        try:
            yield client, waiting
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])


async def answers(client, status, path="/readyz"):
    """The answer of a route, as soon as it has this status."""
    async with asyncio.timeout(60):
        while True:
            async with client.get(path) as response:
                if response.status == status:
                    return await response.text()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("stage", RESTARTED)
async def test_a_stage_that_dies_is_heard_and_restarted(stage, services, busy, dying, tmp_path, caplog):
    well = dying(*RESTARTED[stage])
    async with running(settings(tmp_path, shared=stage in SHARED), services) as (
        client,
        waiting,
    ):
        ready = await answers(client, 503)
        assert f"{stage}: restarting: RuntimeError; see the service's log" in ready
        cameras = await (await client.get("/api/cameras")).json()
        assert [(s["stage"], s["state"]) for s in cameras["failing"]] == [(stage, "restarting")]
        metrics = await (await client.get("/metrics")).text()
        assert f'footage_stage_up{{stage="{stage}"}} 0.0' in metrics
        assert f'footage_stage_failures_total{{stage="{stage}"}} 0.0' not in metrics
        assert "an inner secret" not in ready + metrics + str(cameras), "what an error holds is for the log"
        well.set()
        await answers(client, 200)
        metrics = await (await client.get("/metrics")).text()
        assert f'footage_stage_up{{stage="{stage}"}} 1.0' in metrics
        assert not waiting.done(), "the service goes on"
    deaths = [r for r in caplog.records if r.exc_info and f"'{stage}'" in r.getMessage()]
    assert len(deaths) == 1, "each death is logged once with its trace"
    assert str(deaths[0].exc_info[1]) == "an inner secret"


@pytest.mark.parametrize("stage", ENDING)
async def test_the_death_of_the_pipeline_ends_the_service(stage, services, dying, tmp_path, caplog):
    dying(*ENDING[stage])
    async with running(settings(tmp_path), services) as (client, waiting):
        assert "pipeline: failed: RuntimeError" in await answers(client, 503)
        assert 'footage_stage_up{stage="pipeline"} 0.0' in await (await client.get("/metrics")).text()
        async with asyncio.timeout(60):
            with pytest.raises(StageFailed):
                await waiting
    (death,) = [r for r in caplog.records if r.exc_info and "'pipeline'" in r.getMessage()]
    assert str(death.exc_info[1]) == "an inner secret"


def test_footage_serve_ends_with_a_sentence_and_code_1(tmp_path, monkeypatch, capsys):
    async def die(_):
        raise MemoryError("no memory")

    monkeypatch.setattr(Pipeline, "_write_batches", die)
    config = tmp_path / "footage.yaml"
    config.write_text("cameras:\n  - {name: yard, url: 'rtsp://127.0.0.1:9/yard'}\n")
    with pytest.raises(typer.Exit) as ended:
        serve.serve(port=0, data=tmp_path / "index", config=config, embedder="lite")
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert "footage: the stage 'pipeline' died (MemoryError: no memory) and cannot be restarted" in said
