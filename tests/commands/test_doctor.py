"""Tests what ``footage doctor`` says of a service that runs beside it."""

from datetime import UTC, datetime, timedelta

import numpy as np

from footage.commands.composition import find_index
from footage.commands.doctor import _check_load
from footage.config.settings import Settings
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.color_embedder import ColorEmbedder


async def put_status(settings, load, age=-600.0):  # from the future: it stays fresh on a slow machine
    """Publish what a service says of itself, as so many seconds ago."""
    index = await find_index(settings)
    at = datetime.now(UTC) - timedelta(seconds=age)
    document = {"at": at.isoformat(), "load": load, "cameras": {}, "failing": []}
    await index.catalog.put_document("status", "machine~1", document)
    await index.close()


async def test_doctor_says_how_many_cameras_the_service_that_runs_sustains(tmp_path):
    settings = Settings(data=tmp_path / "data")
    assert "no cameras are watched now" in (await _check_load(settings))[2]
    settings.data.mkdir()
    catalog = await SqliteCatalog.open(settings.data / "catalog.sqlite")
    await catalog.bind_space(ColorEmbedder.space, np.eye(2, 3, dtype="<f4").tobytes())
    await catalog.close()
    load = {"busy": 0.25, "sustained": 12, "dropped": 0}
    await put_status(settings, load, age=3600)
    assert "no cameras are watched now" in (await _check_load(settings))[2]
    await put_status(settings, load)
    part, well, text = await _check_load(settings)
    assert (part, well) == ("load", True)
    assert "sustains about 12 cameras" in text
    await put_status(settings, load | {"dropped": 7})
    assert "7 frames dropped" in (await _check_load(settings))[2]
