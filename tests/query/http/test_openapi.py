"""The service against its own document: schemathesis asks every operation what it allows, and what it does not."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestServer

from footage.indexer.files.file_indexer import Indexer, Job
from footage.query.clips.service import Cutter
from footage.query.http import app
from footage.query.http.audit import Audit
from footage.query.http.metrics import Metrics
from footage.query.http.watch_routes import Desk
from footage.query.scoring.noun_bank import Bank
from footage.query.search.engine import Searcher
from footage.query.watches.alerts import Alerts
from footage.query.watches.watch import Watch, keep
from tests import films
from tests.indexer.files.test_file_indexer import plain
from tests.indexer.parts import ColourEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
TOKEN = "a-long-random-text"
MOMENT, FRAME = "yard~1777896002000000~1000000~3000000", "yard~1777896003000000"

CONFIG = f"""
headers = {{ Authorization = "Bearer {TOKEN}" }}

[[operations]]
include-path = "/api/events"
enabled = false

[[operations]]  # 400 also tells what no schema can: an end before its start, a camera that is not there, text and frame
include-operation-id = [
  "search", "search_pictures", "one_moment", "clip_file", "test_watch", "audit", "add_watch", "export_zip"
]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404, 409]
"""
REAL = f"""
[[operations]]
include-method = "DELETE"
enabled = false
[[operations]]
include-path-regex = "^/api/moments/"
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
    """A service with a token over one short film, with one watch."""
    film = films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue"], seconds=2), fps=10, gop=10)
    embedder = ColourEmbedder()
    await Indexer(embedder, store, catalog).run([Job(film, "yard", 1.0, START)])
    await keep(catalog, Watch(name="grass", text="something green"))
    bank, audit = await Bank.of(embedder), Audit(tmp_path / "audit", timedelta(days=1))
    cutter = Cutter(store, catalog, tmp_path / "clips")
    searcher = Searcher(embedder, store, catalog, bank, cutter.frame)
    parts = app.Parts(store, catalog, searcher, cutter, Metrics(), None, Desk(embedder, bank, Alerts()), audit)
    server = TestServer(app.build(parts, TOKEN))
    await server.start_server(max_line_size=app.LINE)
    async with server:
        yield server


async def run(server, folder, config, *options):
    """Schemathesis as its own process: what it warns of is not ours."""
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
async def test_the_service_does_what_its_document_says(server, tmp_path):
    await run(server, tmp_path, "", "--phases=examples,coverage,fuzzing,stateful")


@pytest.mark.slow
async def test_what_is_there_is_answered_as_the_document_says(server, tmp_path):
    """Ids from a generator hit nothing; these hit a moment, a frame and a watch."""
    await run(server, tmp_path, REAL, "--phases=examples,coverage,fuzzing")
