"""Tests that what is forgotten is in no file of the scan column."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from footage.indexer.store.base import Where
from footage.indexer.store.lance import LanceStore
from tests.indexer.store.column.harness import Filled, column_files, column_folder, made
from tests.indexer.store.store_contract import SPACE, at


async def test_what_is_forgotten_leaves_the_columns_files(folder: Path, filled: Filled) -> None:
    store = await LanceStore.open(folder, SPACE)
    secrets = filled.records[::150]
    everything = b"".join(path.read_bytes() for path in column_folder(folder).iterdir())
    assert all(secret.vector.tobytes() in everything for secret in secrets)
    for secret in secrets:
        await store.forget(Where((secret.camera,), ((secret.time, at(1 + (secret.time - at(0)).total_seconds())),)))
        everything = b"".join(path.read_bytes() for path in column_folder(folder).iterdir())
        assert secret.vector.tobytes() not in everything
    await store.forget(Where())
    assert not column_files(folder, "run")
    assert await store.nearest(secrets[0].vector, 3) == []
    await store.close()


async def test_what_is_forgotten_leaves_files_that_cannot_be_read(folder: Path, filled: Filled) -> None:
    """A run that would be written anew without the record is damaged in another one's vector."""
    secret, other = filled.records[20], filled.records[40]
    (run,) = [path for path in column_files(folder, "run") if secret.vector.tobytes() in path.read_bytes()]
    store = await LanceStore.open(folder, SPACE)
    content = bytearray(run.read_bytes())
    for record in filled.records:
        if record not in (secret, other) and (place := content.find(record.vector.tobytes())) >= 0:
            content[place] ^= 1
    with run.open("r+b") as file:  # in place: the store has it open
        file.write(content)
    assert await store.forget(Where((secret.camera,), ((secret.time, secret.time + timedelta(seconds=1)),))) >= 1
    everything = b"".join(path.read_bytes() for path in column_folder(folder).iterdir())
    assert secret.vector.tobytes() not in everything
    await made(store)
    everything = b"".join(path.read_bytes() for path in column_folder(folder).iterdir())
    assert secret.vector.tobytes() not in everything
    await store.close()
