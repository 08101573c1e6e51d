"""Measures indexing as Roboflow's tutorial with Astra DB does it, next to ours: same video, model and database.

The tutorial takes frames from supervision's generator, posts each as one base64 JPEG to ``/clip/embed_image`` of an
Inference server, and sends one INSERT for each answer, everything in sequence. Ours is measured twice: as a client of
the same server, and with the same weights in its own process. A frame is sampled every ``--every`` seconds.

Run ``python -m bench.tutorial``. Cassandra runs for the measurement (``tests/cassandra`` says what it needs). The
server is the one of ``FOOTAGE_INFERENCE_URL`` (with ``ROBOFLOW_API_KEY``). Without it a stand-in with Inference's route
runs in a process of its own, once with ONNX Runtime in single precision, as Inference runs CLIP on a CPU, and once with
the runtime that ours chose, so that what is due to the runtime shows. Weights: ``FOOTAGE_CLIP``, else random ones in
the size of ViT-B/32.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import requests
import supervision as sv
from aiohttp import web
from bench.embed import model
from bench.films import make_video
from cassandra.cluster import Cluster, Session
from PIL import Image as Pillow
from tests.cassandra.server import Contact, Server

from footage.indexer.embed.base import Embedder, Space
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.inference_server import InferenceServerEmbedder
from footage.indexer.embed.runtime import Plan
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.cassandra import CassandraCatalog, CassandraStore, connect_cassandra, schema
from footage.stream.frame import Image

START = datetime(2026, 5, 4, tzinfo=UTC)
MODEL = "clip/ViT-B-32"
FPS = 30
ROUTE = "/clip/embed_image"
KEY = os.environ.get("ROBOFLOW_API_KEY", "")


def serve(folder: Path, cache: Path, plan: Plan | None, pipe: Connection) -> None:
    """Serve a model on Inference's route, one request in the network at a time; the pipe gets the port."""

    async def run() -> None:
        clip = await ClipEmbedder.open(folder, cache=cache, plan=plan)
        turn = asyncio.Lock()

        async def embed(request: web.Request) -> web.Response:
            asked = (await request.json())["image"]
            items = asked if isinstance(asked, list) else [asked]
            images = await asyncio.to_thread(lambda: [_decode(item["value"]) for item in items])
            async with turn:
                vectors = await clip.images(images)
            return web.json_response({"embeddings": vectors.tolist(), "time": 0.0})

        async def info(_: web.Request) -> web.Response:
            return web.json_response({"name": "stand-in for Roboflow Inference Server", "version": "1.8.3"})

        app = web.Application(client_max_size=1 << 26)
        app.add_routes([web.post(ROUTE, embed), web.get("/info", info)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.to_thread(pipe.recv)
        await runner.cleanup()
        await clip.close()

    asyncio.run(run())


def _decode(value: str) -> Image:
    bgr = cv2.imdecode(np.frombuffer(base64.b64decode(value), np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def stand_in(folder: Path, cache: Path, plan: Plan | None) -> Iterator[str]:
    """The address of a server in a process of its own, while the block runs."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(folder, cache, plan, theirs), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{ours.recv()}"
    ours.send("stop")
    process.join()


def tutorial(path: Path, stride: int, url: str, session: Session) -> int:
    """The tutorial's loop; returns how many frames it indexed."""
    count = 0
    for number, frame in enumerate(sv.get_video_frames_generator(str(path), stride=stride)):
        buffer = BytesIO()
        Pillow.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).save(buffer, format="JPEG")
        value = base64.b64encode(buffer.getvalue()).decode("utf-8")
        payload: Any = {"image": {"type": "base64", "value": value}, "clip_version_id": MODEL.removeprefix("clip/")}
        answer = requests.post(url + ROUTE, params={"api_key": KEY}, json=payload, timeout=60)
        answer.raise_for_status()
        (vector,) = answer.json()["embeddings"]
        session.execute(
            "INSERT INTO tutorial.frames (id, video, frame, embedding) VALUES (%s, %s, %s, %s)",
            (uuid4(), path.name, number * stride, vector),
        )
        count += 1
    return count


@contextmanager
def tutorial_table(contact: Contact) -> Iterator[Session]:
    """A session, and the tutorial's table with its vector index."""
    cluster: Cluster = contact.cluster()
    session = cluster.connect()
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    session.execute(f"CREATE KEYSPACE IF NOT EXISTS tutorial WITH replication = {replication}")
    columns = "id uuid PRIMARY KEY, video text, frame int, embedding vector<float, 512>"
    session.execute(f"CREATE TABLE IF NOT EXISTS tutorial.frames ({columns})")
    session.execute("CREATE CUSTOM INDEX IF NOT EXISTS ON tutorial.frames (embedding) USING 'StorageAttachedIndex'")
    yield session
    cluster.shutdown()


async def ours(path: Path, every: float, embedder: Embedder, contact: Contact, keyspace: str) -> tuple[int, float]:
    """Index a video as ``footage index`` does; returns frames, and seconds without making the tables."""
    session = await connect_cassandra(
        [contact.host], contact.port, keyspace, user=contact.user, password=contact.password
    )
    await schema.create_tables(session, Space(embedder.space.name, embedder.space.dim))
    store, catalog = await CassandraStore.open(session, embedder.space), await CassandraCatalog.open(session)
    began = time.perf_counter()
    report = await FileIndexer(embedder, store, catalog).run([Job(path, "bench", every, START)])
    seconds = time.perf_counter() - began
    await session.close()
    return report.frames, seconds


async def timed(
    path: Path, every: float, make: Callable[[], Any], contact: Contact, keyspace: str
) -> tuple[int, float]:
    """``ours`` with an embedder that has embedded an image before, closed afterwards."""
    embedder = make()
    embedder = await embedder if asyncio.iscoroutine(embedder) else embedder
    await embedder.images([np.zeros((224, 398, 3), np.uint8)] * embedder.batch)
    measured = await ours(path, every, embedder, contact, keyspace)
    await embedder.close()
    return measured


def compare(path: Path, every: float, url: str, folder: Path, contact: Contact, cache: Path) -> None:
    """Print the tutorial's frames a second and ours, as its client and in this process."""
    with tutorial_table(contact) as session:
        requests.post(  # the first request may load the model
            url + ROUTE, params={"api_key": KEY}, json=_small_image(), timeout=300
        ).raise_for_status()
        began = time.perf_counter()
        count = tutorial(path, round(every * FPS), url, session)
        rival = count / (time.perf_counter() - began)
    print(f"    tutorial             {rival:7.2f} frames/s ({count} frames)")
    ways: dict[str, Callable[[], Any]] = {
        "ours, same server": lambda: InferenceServerEmbedder(url, model=MODEL, key=KEY),
        "ours, in its process": lambda: ClipEmbedder.open(folder, cache=cache, name=MODEL),
    }
    for name, make in ways.items():
        frames, seconds = asyncio.run(timed(path, every, make, contact, f"bench_{uuid4().hex[:8]}"))
        print(f"    {name:20} {frames / seconds:7.2f} frames/s: {frames / seconds / rival:5.1f} times as many")


def _small_image() -> dict[str, Any]:
    coded = cv2.imencode(".jpg", np.zeros((224, 224, 3), np.uint8))[1]
    value = base64.b64encode(coded.tobytes()).decode()
    return {"image": {"type": "base64", "value": value}, "clip_version_id": MODEL.removeprefix("clip/")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="length of the film: 1080p, a keyframe every 2 s")
    parser.add_argument("--every", type=float, nargs="+", default=[2.0, 1.0], help="seconds between frames")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, model() as folder:
        place, cache = Path(name), Path(name) / "cache"
        path = make_video(place, args.seconds, 2, fps=FPS)
        with Server(place / "cassandra", heap="1g") as node:
            if url := os.environ.get("FOOTAGE_INFERENCE_URL"):
                for every in args.every:
                    print(f"  server {url}, a frame every {every:g} s")
                    compare(path, every, url.rstrip("/"), folder, node.contact, cache)
                return
            for runtime, plan in (("ONNX Runtime f32", Plan("onnxruntime")), ("our runtime", None)):
                with stand_in(folder, cache, plan) as url:
                    for every in args.every:
                        print(f"  server with {runtime}, a frame every {every:g} s")
                        compare(path, every, url, folder, node.contact, cache)


if __name__ == "__main__":
    main()
