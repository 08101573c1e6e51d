"""Tests the service against its OpenAPI document: schemathesis sends valid and invalid requests to every operation."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestServer

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.query.clips.service import ClipService
from footage.query.http import app
from footage.query.http import server as http_server
from footage.query.http.audit import AuditLog
from footage.query.http.metrics import Metrics
from footage.query.http.watch_routes import WatchContext
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from footage.query.watches.alert_stream import AlertStream
from footage.query.watches.watch import Watch, save_watch
from tests import films
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.files.test_file_indexer import plain

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
TOKEN = "a-long-random-text"
MOMENT, FRAME = "yard~1777896002000000~1000000~3000000", "yard~1777896003000000"

CONFIG = f"""
headers = {{ Authorization = "Bearer {TOKEN}" }}

[[operations]]
include-path = "/api/events"
enabled = false

[[operations]]  # this service reads no cameras, and says so; a camera may be called "test"
include-operation-id = ["add_camera", "try_camera", "remove_camera"]
checks.not_a_server_error.enabled = false
checks.allow_header_conformance.enabled = false
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 502, 503]

[[operations]]  # its page is there for every link; what it shows is asked for by the page
include-operation-id = "share_page"
checks.negative_data_rejection.enabled = false

[[operations]]
include-operation-id = "log_in"
checks.positive_data_acceptance.expected-statuses = ["2xx", 401]

[[operations]]  # 400 is also for what no schema can say: an end before its start, an unknown camera, text and frame;
# 413 and 415 what a picture may be
include-operation-id = [
  "coverage", "frames", "marks", "put_mark", "add_share",
  "search", "search_pictures", "one_moment", "clip_file", "test_watch", "audit", "add_watch",
  "export_zip"
]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409, 413, 415]
"""
REAL = f"""
[[operations]]
include-method = "DELETE"
enabled = false
[[operations]]
include-path-regex = "^/api/moments/"
parameters = {{ "path.id" = "{MOMENT}" }}

[[operations]]
include-path-regex = "^/api/marks/"
parameters = {{ "path.id" = "{MOMENT}" }}

[[operations]]
include-path-regex = "^/api/frames/"
parameters = {{ "path.id" = "{FRAME}" }}

[[operations]]
include-path-regex = "^/api/watches/"
parameters = {{ "path.name" = "grass" }}
"""


@pytest.fixture
async def server(store, catalog, tmp_path):
    """A service with a token over one short video, with one watch."""
    film = films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue"], seconds=2), fps=10, gop=10)
    embedder = ColorEmbedder()
    await FileIndexer(embedder, store, catalog).run([Job(film, "yard", 1.0, START)])
    await save_watch(catalog, Watch(name="grass", text="something green"))
    bank, audit = await NounBank.build(embedder), AuditLog(tmp_path / "audit", timedelta(days=1))
    clip_service = ClipService(store, catalog, tmp_path / "clips")
    search_engine = SearchEngine(embedder, store, catalog, bank, clip_service.get_frame)
    services = app.AppServices(
        store, catalog, search_engine, clip_service, Metrics(), None, WatchContext(embedder, bank, AlertStream()), audit
    )
    server = TestServer(app.build_app(services, TOKEN))
    await server.start_server(max_line_size=http_server.MAX_LINE)
    async with server:
        yield server


async def run(server, folder, config, *options):
    """Run schemathesis as a process of its own, since its warnings would be errors here."""
    (folder / "schemathesis.toml").write_text(CONFIG + config)
    asked = (str(server.make_url("/openapi.json")), "--seed=1", "--max-examples=25", *options)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", *asked),
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "160"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.mark.slow
async def test_the_service_conforms_to_its_openapi_document(server, tmp_path):
    await run(server, tmp_path, "", "--phases=examples,coverage,fuzzing,stateful")


@pytest.mark.slow
async def test_existing_resources_conform_to_the_openapi_document(server, tmp_path):
    """Generated ids do not exist; these are of a moment, a frame and a watch."""
    await run(server, tmp_path, REAL, "--phases=examples,coverage,fuzzing")
