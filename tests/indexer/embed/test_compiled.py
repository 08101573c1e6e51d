"""Tests the cache of compiled networks: used, damaged, of another network, impossible to write, and old."""

import os
import time
from functools import partial

import numpy as np
import pytest

from footage.indexer.embed.compiled import compile_cached, describe_file
from footage.indexer.embed.openvino_core import openvino

OPTIONS = {"INFERENCE_PRECISION_HINT": "f32"}
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
ops = openvino.opset13


def network(factor):
    """A network that multiplies rows of four by a weight."""
    given = ops.parameter([-1, 4], np.float32, name="rows")
    return openvino.Model([ops.multiply(given, np.full((1, 4), factor, np.float32))], [given], "test")


class Reader:
    """Reads a network, and counts how often."""

    def __init__(self, factor):
        self.factor, self.reads = factor, 0

    def __call__(self):
        self.reads += 1
        return network(self.factor)


def run(reader, cache, source="network", options=OPTIONS):
    compiled = compile_cached(reader, source, options, cache)
    return np.asarray(compiled([ROWS])[0])


@pytest.fixture
def blob(tmp_path):
    """The file of a network that multiplies by 3, in the cache ``tmp_path``."""
    np.testing.assert_array_equal(run(Reader(3), tmp_path), 3 * ROWS)
    (path,) = tmp_path.rglob("*.blob")
    return path


def test_a_compiled_network_is_loaded_and_not_read_again(tmp_path, blob):
    reader = Reader(3)
    np.testing.assert_array_equal(run(reader, tmp_path), 3 * ROWS)
    assert reader.reads == 0


@pytest.mark.parametrize("change", [{"source": "another"}, {"options": OPTIONS | {"INFERENCE_NUM_THREADS": 1}}])
def test_another_network_or_option_is_compiled(tmp_path, blob, change):
    np.testing.assert_array_equal(run(Reader(5), tmp_path, **change), 5 * ROWS)
    np.testing.assert_array_equal(run(Reader(0), tmp_path), 3 * ROWS)  # the first one is still there


def flip(content, where):
    return content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :]


DAMAGE = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a bit of the middle": lambda content: flip(content, len(content) // 2),
    "a bit of the checksum": lambda content: flip(content, len(content) - 1),
    "something else": lambda _: b"x" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_replaced_and_never_used(tmp_path, blob, damage):
    blob.write_bytes(damage(blob.read_bytes()))
    reader = Reader(3)
    np.testing.assert_array_equal(run(reader, tmp_path), 3 * ROWS)
    np.testing.assert_array_equal(run(reader, tmp_path), 3 * ROWS)
    assert reader.reads == 1


def test_a_file_of_another_openvino_is_not_used(tmp_path, blob, monkeypatch):
    monkeypatch.setattr(openvino, "__version__", "1999.1")
    reader = Reader(3)
    np.testing.assert_array_equal(run(reader, tmp_path), 3 * ROWS)
    assert reader.reads == 1


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("no folder")
    np.testing.assert_array_equal(run(Reader(3), tmp_path / "file"), 3 * ROWS)


def test_without_a_cache_nothing_is_written(tmp_path):
    np.testing.assert_array_equal(run(Reader(3), None), 3 * ROWS)
    assert list(tmp_path.iterdir()) == []


def test_files_that_were_not_used_for_months_are_deleted_when_another_is_made(tmp_path, blob):
    months_ago = time.time() - 90 * 86400
    os.utime(blob, (months_ago, months_ago))
    run(Reader(5), tmp_path, "another")
    assert not blob.exists()


def test_use_keeps_a_file(tmp_path, blob):
    months_ago = time.time() - 90 * 86400
    os.utime(blob, (months_ago, months_ago))
    run(Reader(3), tmp_path)
    run(Reader(5), tmp_path, "another")
    assert blob.exists()


@pytest.mark.parametrize("change", [partial(str.__add__, "x"), str.upper], ids=["longer", "of the same length"])
def test_a_file_or_one_beside_it_that_changes_has_another_description(tmp_path, change):
    paths = [tmp_path / "model.onnx", tmp_path / "model.onnx.data"]
    for path in paths:
        path.write_text("weights")
    for path in paths:
        before = describe_file(paths[0])
        assert describe_file(paths[0]) == before
        path.write_text(change(path.read_text()))
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))  # the clock may be coarser than the test
        assert describe_file(paths[0]) != before
