"""Tests that lost, cut and changed files of a table are noticed, described, and repaired as far as they are whole."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Record, Where
from footage.indexer.store.errors import StoreDamaged
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.lance_files import TableLedger, TableState, find_damaged_files, newest_manifest
from footage.indexer.store.lance_repair import salvage

SPACE = Space("test/damage", 16)
START = datetime(2026, 1, 1, tzinfo=UTC)
MEDIA, EACH = 3, 20


def records(media, at, count=EACH):
    vectors = np.random.default_rng(at).normal(size=(count, SPACE.dim)).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    return [Record("yard", START + timedelta(seconds=at + i), media, float(i), v) for i, v in enumerate(vectors)]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A data folder with some files of records."""

    async def fill():
        store = await LanceStore.open(folder / "vectors", SPACE)
        for i in range(MEDIA):
            await store.write(records(f"m{i}", 1000 * i))
        assert await store.find_damage() == ""
        await store.close()

    folder = tmp_path_factory.mktemp("original")
    asyncio.run(fill())
    return folder


@pytest.fixture
def folder(original, tmp_path):
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path / "vectors"


def table(folder):
    return next(folder.glob("*.lance"))


def data(folder, number=1):
    return sorted((table(folder) / "data").iterdir())[number]


def manifest(folder):
    return min((table(folder) / "_versions").glob("*.manifest"))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    for i in np.random.default_rng(3).integers(0, len(content), 20).tolist():
        content[i] ^= 0xFF
    path.write_bytes(content)


LOSSES = {
    "the folder is gone": (shutil.rmtree, 0),
    "the lists of files are gone": (lambda f: shutil.rmtree(table(f) / "_versions"), 0),
    "all data are gone": (lambda f: shutil.rmtree(table(f) / "data"), 0),
    "one file is gone": (lambda f: data(f).unlink(), MEDIA - 1),
    "one file is cut": (lambda f: cut(data(f)), MEDIA - 1),
    "one file is empty": (lambda f: data(f).write_bytes(b""), MEDIA - 1),
    "the newest list is gone": (lambda f: manifest(f).unlink(), MEDIA - 1),
    "the newest list is cut": (lambda f: cut(manifest(f)), MEDIA - 1),
    "the newest list is empty": (lambda f: manifest(f).write_bytes(b""), MEDIA - 1),
    "the newest list is changed": (lambda f: flip(manifest(f)), MEDIA - 1),
}


async def opened_damage(folder):
    """What a quick look at the table says."""
    try:
        store = await LanceStore.open(folder, SPACE)
    except StoreDamaged as error:
        return str(error)
    try:
        return await store.find_damage()
    finally:
        await store.close()


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_loss_is_noticed_when_the_table_is_opened_and_what_is_whole_is_kept(folder, loss):
    damage, whole = LOSSES[loss]
    damage(folder)
    assert await opened_damage(folder)
    assert await opened_damage(folder)  # a second look does not take the new, empty table for the old one
    report, _ = await salvage(folder, SPACE)
    assert (whole - 1) * EACH < report.whole <= whole * EACH
    store = await LanceStore.open(folder, SPACE)
    assert "lost" in await store.find_damage()  # until it is indexed again
    assert await store.count() == report.whole
    for i in range(MEDIA):
        await store.write(records(f"m{i}", 1000 * i))
    await store.note_loss(0)
    assert await store.find_damage() == ""
    assert (await store.examine()).counts == {f"m{i}": EACH for i in range(MEDIA)}
    await store.close()
    assert await opened_damage(folder) == ""


@pytest.mark.parametrize("damage", [lambda f: cut(data(f)), lambda f: data(f).unlink(), lambda f: flip(data(f))])
async def test_damage_is_told_in_words(folder, damage):
    damage(folder)
    store = await LanceStore.open(folder, SPACE, memory=0)
    for ask in (store.nearest(records("x", 0)[0].vector, 200), store.nearest(records("x", 9)[0].vector, 3)):
        with pytest.raises(StoreDamaged, match=r"damaged or missing.*footage doctor --deep.*footage index") as error:
            await ask
        assert ".rs" not in str(error.value)
    await store.close()


async def test_changed_content_is_found_by_reading_everything(folder):
    flip(data(folder))
    store = await LanceStore.open(folder, SPACE)
    report = await store.examine()
    assert report.invalid + report.unreadable > 0
    assert report.whole + report.lost == MEDIA * EACH
    await store.close()
    kept, _ = await salvage(folder, SPACE)
    assert kept.whole == report.whole


async def test_deleting_compacting_and_another_table_are_no_damage(folder):
    store = await LanceStore.open(folder, SPACE)
    other = await LanceStore.open(folder, Space("test/other", 4))
    assert await store.forget(Where(media=("m1",))) == EACH
    await store.maintain()
    assert await store.find_damage() == await other.find_damage() == ""
    await store.forget(Where())
    assert await store.find_damage() == ""
    await store.close()
    await other.close()
    assert await opened_damage(folder) == ""


async def test_an_index_of_an_earlier_version_has_no_ledger_and_is_whole(folder):
    folder.with_name("vectors.json").unlink()
    assert await opened_damage(folder) == ""
    folder.with_name("vectors.json").write_text("not json")
    assert await opened_damage(folder) == ""


def test_files_with_other_names_are_no_lists_of_files(folder):
    found = newest_manifest(table(folder))
    for name in ("0.manifest", "latest.manifest", "d1234.manifest", "0000 copy.manifest", ".tmp.manifest"):
        (table(folder) / "_versions" / name).write_bytes(b"something else")
    assert newest_manifest(table(folder)) == found
    assert found[0] > 0
    assert found[1].endswith(b"LANC")
    assert find_damaged_files(table(folder), MEDIA) == 0


def test_a_loss_stays_noted_while_commits_are_noted(tmp_path):
    """Writers, maintenance and a check note at once, each of another table of the folder or of the same."""
    (tmp_path / "vectors").mkdir()
    ledgers = [TableLedger(tmp_path / "vectors", name) for name in ("a", "a", "b", "c")]

    def note(ledger):
        for version in range(100):
            ledger.note(TableState(version + 1, rows=version))

    with ThreadPoolExecutor(len(ledgers)) as threads:
        noting = [threads.submit(note, ledger) for ledger in ledgers]
        TableLedger(tmp_path / "vectors", "a").note_loss(5)
        for one in noting:
            one.result()
    assert [(ledger.read().version, ledger.read().lost) for ledger in ledgers] == [
        (100, 5),
        (100, 5),
        (100, 0),
        (100, 0),
    ]
