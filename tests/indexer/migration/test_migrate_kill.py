"""Tests that a killed migration resumes."""

import signal
import subprocess
import sys
from pathlib import Path

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.migration.migrate import Migration
from footage.indexer.store.lance import LanceStore
from tests import films
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.migration.harness import START, OtherEmbedder, keys

CHILD = """
import asyncio, sys
from pathlib import Path
from footage.indexer.migration.migrate import Migration
from footage.indexer.pipeline.pipeline import Pipeline
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.migration.harness import OtherEmbedder

async def main(data):
    vectors = data / "index" / "vectors"
    source = await LanceStore.open(vectors, ColorEmbedder.space)
    target = await LanceStore.open(vectors, OtherEmbedder.space)
    catalog = await SqliteCatalog.open(data / "index" / "catalog.sqlite")
    write = target.write
    async def reporting(records):
        await write(records)
        print(len(records), flush=True)
    target.write = reporting
    await Migration(source, target, catalog, OtherEmbedder(0.02)).run()

Pipeline.__init__.__kwdefaults__["rows"] = 4
asyncio.run(main(Path(sys.argv[1])))
"""


async def test_after_sigkill_a_migration_resumes_without_loss_or_repeats(store, catalog, tmp_path):
    film = films.encode(tmp_path / "long.mp4", films.numbered(600), fps=10, gop=10)
    await FileIndexer(ColorEmbedder(), store, catalog).run([Job(film, "yard", 0.5, START)])
    target = await LanceStore.open(tmp_path / "index" / "vectors", OtherEmbedder.space)
    acknowledged = 0
    for writes in (1, 4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        )
        lines = [child.stdout.readline() for _ in range(writes)]
        child.send_signal(signal.SIGKILL)
        child.wait()
        lines += child.stdout.readlines()
        child.stdout.close()
        acknowledged += sum(int(line) for line in lines if line.endswith(b"\n"))
        assert acknowledged <= await target.count() < 120
    this = Migration(store, target, catalog, OtherEmbedder())
    report = await this.run()
    assert report.present >= acknowledged > 0
    assert (report.present + report.copied, report.complete) == (120, True)
    assert await keys(target) == await keys(store)
    await this.switch()
    await target.close()
