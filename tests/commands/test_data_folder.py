"""Tests that the data folder is for its owner alone, with any umask, and that an open one is closed when it is used."""

import os
import stat

import numpy as np
import pytest

from footage.commands.backend import Backend
from footage.commands.camera_file import folder_file, write_cameras
from footage.commands.data_folder import make_data_folder
from footage.commands.service import CLOCK_FILE
from footage.commands.service_lock import lock_service_folders
from footage.config.settings import Settings
from footage.indexer.embed.base import Space
from footage.indexer.live.expiry_clock import ExpiryClock
from footage.indexer.pipeline.refused import RefusedRecords
from footage.indexer.pipeline.spool import Spool
from footage.query.http.audit import AuditLog
from footage.stream.recording.archive import SegmentArchive
from tests.indexer.store.store_contract import make_records

SPACE = Space("test/private", 4)
OPEN = ("catalog.sqlite", "cameras.yaml", "audit/2026-01-01.jsonl", "vectors", "recordings")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids="umask {:03o}".format)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


async def fill(data):
    """Writes everything that a service keeps in its data folder."""
    settings = Settings(data=data, cameras=[{"name": "yard", "url": "rtsp://192.0.2.1/x"}])
    async with lock_service_folders(settings):
        backend = await Backend.open(settings)
        catalog, store = await backend.catalog(), await backend.store(SPACE)
        await store.note_loss(0)
        await catalog.bind_space(SPACE, np.array([1, 0, 0, 0, 1, 0, 0, 0], "<f4").tobytes())
        await Spool(data / "spool", 1 << 20).append(list(make_records(1)))
        await AuditLog(data / "audit", None).append("who", "what", {}, None)
        SegmentArchive(data / "recordings")
        write_cameras(data / "cameras.yaml", [])
        write_cameras(folder_file(data), [])
        ExpiryClock(file=data / CLOCK_FILE)()
        await RefusedRecords(data, SPACE).append([(record, "it is refused") for record in make_records(1)])
        modes = {path.relative_to(data): mode(path) for path in [data, *data.rglob("*")]}
        await store.close()
        await catalog.close()
        await backend.close()
    return modes


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def exposed(modes):
    """What others can reach: readable entries below which no closed folder lies."""
    closed = {path for path, one in modes.items() if not one & 0o077}
    return [path for path, one in modes.items() if one & 0o077 and not closed & {path, *path.parents}]


async def test_what_is_made_is_private_with_any_umask(tmp_path, umask):
    modes = await fill(tmp_path / "data")
    assert len(modes) > 10
    assert exposed(modes) == []
    inner = {str(path): one for path, one in modes.items() if "/" not in str(path) or str(path).startswith("audit")}
    assert {name for name, one in inner.items() if one & 0o077} == set()
    assert {"catalog.sqlite-wal", "spool", "service.lock", "vectors.json"} <= set(inner)


async def test_an_open_folder_of_an_earlier_version_is_closed_when_it_is_opened(tmp_path, caplog):
    data = tmp_path / "data"
    await fill(data)
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    backend = await Backend.open(Settings(data=data))
    assert "chmod g+ws" in caplog.text
    entries = [data, *data.iterdir(), *(data / "audit").iterdir()]
    assert {path.name for path in entries if mode(path) & 0o077} == set()
    caplog.clear()
    await backend.close()
    await (await Backend.open(Settings(data=data))).close()
    assert caplog.text == ""


async def test_a_file_that_nobody_could_reach_is_closed_without_a_warning(tmp_path, caplog):
    data = tmp_path / "data"
    await fill(data)
    (data / "demo.mp4").write_bytes(b"x")
    (data / "demo.mp4").chmod(0o644)
    caplog.clear()
    await (await Backend.open(Settings(data=data))).close()
    assert mode(data / "demo.mp4") == 0o600
    assert caplog.text == ""


async def test_a_folder_with_other_things_in_it_keeps_its_mode_but_not_what_is_ours(tmp_path):
    data = tmp_path / "project"
    data.mkdir()
    data.chmod(0o755)
    (data / "index.html").write_text("x")
    (data / "index.html").chmod(0o644)
    modes = await fill(data)
    own = {path: one for path, one in modes.items() if str(path) not in (".", "index.html")}
    assert exposed(own) == []
    assert (mode(data), mode(data / "index.html")) == (0o755, 0o644)


async def test_a_folder_that_is_shared_with_a_group_on_purpose_stays_shared(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o2775)
    await fill(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o2770
    assert mode(data / "catalog.sqlite") == mode(data / "spool") == mode(data / "service.lock") == 0o660
    assert mode(data / "vectors") & 0o077 == 0o070


def test_folders_that_others_need_are_left_alone(tmp_path):
    data = tmp_path / "tmp"
    data.mkdir()
    data.chmod(0o1777)  # as /tmp
    make_data_folder(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o1777
    (tmp_path / "target").mkdir(mode=0o755)
    (data / "recordings").symlink_to(tmp_path / "target")
    (tmp_path / "target").chmod(0o755)
    make_data_folder(data)
    assert mode(tmp_path / "target") == 0o755
