"""Tests that a known model's fingerprint is remembered, and computed again whenever it might differ."""

import os

import numpy as np
import pytest

from footage.indexer.embed import lite
from footage.indexer.embed.base import Space
from footage.indexer.embed.choose import EmbedderOptions, choose
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.embed.fingerprint_cache import cached_fingerprint, identify_model


class CountingEmbedder:
    """Gives the same vectors always, and counts the images that it embeds."""

    space = Space("test/counting", 4)

    def __init__(self, value=0.5):
        self.value, self.images_seen = value, 0

    async def images(self, batch):
        self.images_seen += len(batch)
        return np.full((len(batch), 4), self.value, np.float32)

    async def texts(self, texts):
        return np.full((len(texts), 4), -self.value, np.float32)


async def test_it_is_computed_once_for_an_identity(tmp_path):
    embedder, other = CountingEmbedder(), CountingEmbedder(0.25)
    expected = await fingerprint(CountingEmbedder())
    assert [await cached_fingerprint(embedder, "a", tmp_path) for _ in range(3)] == [expected] * 3
    assert embedder.images_seen == 1
    assert await cached_fingerprint(other, "b", tmp_path) == await fingerprint(CountingEmbedder(0.25))
    assert await cached_fingerprint(embedder, "a", tmp_path) == expected
    assert (embedder.images_seen, other.images_seen) == (1, 1)


async def test_it_is_computed_each_time_for_a_model_that_may_change_unseen(tmp_path):
    embedder = CountingEmbedder()
    for _ in range(2):
        assert await cached_fingerprint(embedder, "", tmp_path) == await fingerprint(CountingEmbedder())
    assert embedder.images_seen == 2


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 7}', b'{"a": "AAAA"}', b'{"a": "no base64"}', b"\xff"])
async def test_a_damaged_file_is_computed_anew_and_replaced(tmp_path, content):
    embedder = CountingEmbedder()
    await cached_fingerprint(embedder, "a", tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    for _ in range(2):
        assert await cached_fingerprint(embedder, "a", tmp_path) == await fingerprint(CountingEmbedder())
    assert embedder.images_seen == 2


async def test_a_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("no folder")
    found = await cached_fingerprint(CountingEmbedder(), "a", tmp_path / "file")
    assert found == await fingerprint(CountingEmbedder())


def test_an_identity_changes_with_files_and_options(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("weights")
    first = identify_model([path], "bf16")
    assert identify_model([path], "bf16") == first
    assert identify_model([path], "f32") != first
    os.utime(path, ns=(0, 1))
    assert identify_model([path], "bf16") != first


async def test_a_search_in_words_loads_no_image_network_once_its_fingerprint_is_known(tmp_path, monkeypatch):
    loaded, compile_model = [], lite.compile_model

    def compile_and_note(path, **options):
        loaded.append(path.name)
        return compile_model(path, **options)

    monkeypatch.setattr(lite, "compile_model", compile_and_note)
    for expected in (["picture.onnx.gz", "text.onnx.gz"], ["text.onnx.gz"]):
        chosen = await choose(EmbedderOptions(cache=tmp_path, kind="lite"))
        await cached_fingerprint(chosen.embedder, chosen.identity, tmp_path)
        await chosen.embedder.texts(["a dog"])
        await chosen.embedder.close()
        assert sorted(loaded) == expected
        loaded.clear()
