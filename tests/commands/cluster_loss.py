"""Fills, damages and looks at an index in a cluster, for the tests of lost records."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

from typer.testing import CliRunner

from footage.__main__ import app
from footage.commands.backend import Backend
from footage.commands.composition import find_index, open_services
from footage.config.settings import load_settings
from footage.indexer.files.file_indexer import FileIndexer
from footage.indexer.store.base import Where
from footage.indexer.store.cassandra.schema import find_frames_table
from footage.indexer.store.lost_vectors import read_losses
from tests.indexer.store.cluster_contract import empty_tables

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FILMS = {"one": 0, "two": 0, "late": 24}
"""By camera, the hours after ``START`` at which its second film begins; the first begins at ``START``."""


async def fill(config, jobs):
    async with open_services(load_settings(file=config)) as services:
        report = await FileIndexer(services.embedder, services.store, services.catalog).run(jobs)
        assert (report.done, report.failed) == (len(jobs), {})


async def empty(config):
    backend = await Backend.open(load_settings(file=config))
    await empty_tables(backend.session)
    await backend.close()


def run(config, *arguments):
    """Runs a command; gives its exit code, output and messages."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--config", str(config)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


async def statement(config, cql):
    """Execute a statement on the table of vectors, as an operator or a fault would."""
    index = await find_index(load_settings(file=config))
    session = index.backend.session
    table = await find_frames_table(session, index.store.space)
    await session.execute_ddl(cql.format(table=f"{session.keyspace}.{table}", keyspace=session.keyspace))
    await index.close()


def lose(config, camera=None, hours=None):
    """Delete the rows of the table of vectors: all, those of a camera, or of one partition of it."""

    async def delete():
        if camera is None:
            await statement(config, "TRUNCATE {table}")
            return
        index = await find_index(load_settings(file=config))
        listed = await index.store._buckets.of_camera(camera)
        await index.close()
        for _, bucket in [listed[hours]] if hours is not None else listed:
            await statement(config, f"DELETE FROM {{table}} WHERE camera = '{camera}' AND bucket = {bucket}")

    asyncio.run(delete())


def state(config):
    """The number of records of each camera, and what is noted as lost."""

    async def read():
        index = await find_index(load_settings(file=config))
        counts = {camera: await index.store.count(Where((camera,))) for camera in FILMS}
        lost = await read_losses(index.catalog)
        await index.close()
        return counts, set(lost)

    return asyncio.run(read())


def search(config, *options):
    code, out, told = run(config, "search", "red", "--json", *options)
    return code, json.loads(out), told


def doctor(config, *options):
    """Whether the index is well, and what doctor says of it."""
    code, out, _ = run(config, "doctor", "--json", *options)
    (index,) = [finding for finding in json.loads(out) if finding["part"] == "index"]
    assert code == (not index["ok"])
    return index["ok"], index["finding"]


def lost_spans(answer, camera):
    return [(c["start"], c["end"]) for c in answer["coverage"] if c["camera"] == camera and "lost" in c["cause"]]
