"""Contract tests of every ``Embedder``: subclass ``EmbedderConformance`` with an ``embedder`` fixture."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from skimage import data

from footage.indexer.embed.base import Embedder, EmbedderError
from footage.stream.frame import Image

TEXTS = ["a photo of a cat", "a rocket", "a cup of coffee", "an astronaut in a space suit"]


def photographs() -> list[Image]:
    """Return real photographs: a cat, coffee, a rocket, an astronaut."""
    return [data.chelsea(), data.coffee(), data.rocket(), data.astronaut()]


class EmbedderConformance:
    """Each test takes the fixture ``embedder``, which a subclass provides."""

    async def test_vectors_are_unit_rows_of_the_space(self, embedder: Embedder) -> None:
        for vectors in (await embedder.images(photographs()), await embedder.texts(TEXTS)):
            assert vectors.shape == (4, embedder.space.dim)
            assert vectors.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)

    async def test_side_and_batch_are_plausible(self, embedder: Embedder) -> None:
        assert embedder.space.name
        assert 32 <= embedder.side <= 1024
        assert embedder.batch >= 1

    async def test_an_empty_batch_gives_no_vectors(self, embedder: Embedder) -> None:
        for vectors in (await embedder.images([]), await embedder.texts([])):
            assert vectors.shape == (0, embedder.space.dim)
            assert vectors.dtype == np.float32

    @pytest.mark.parametrize("shape", [(37, 53, 3), (640, 90, 3), (90, 640, 3), (1, 1, 3), (257, 255, 3)])
    async def test_images_of_any_size_and_shape_are_embedded(self, embedder: Embedder, shape: tuple[int, ...]) -> None:
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        vectors = await embedder.images([image, data.chelsea()])
        assert np.isfinite(vectors).all()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)

    async def test_images_without_contrast_are_embedded(self, embedder: Embedder) -> None:
        flat = [np.full((120, 160, 3), level, np.uint8) for level in (0, 127, 255)]
        assert np.isfinite(await embedder.images(flat)).all()

    async def test_views_of_larger_arrays_are_embedded(self, embedder: Embedder) -> None:
        whole = data.chelsea()
        views = [whole[20:280, 50:400], whole[:, ::-1], whole[::2, ::2]]
        copies = [np.ascontiguousarray(view) for view in views]
        np.testing.assert_allclose(await embedder.images(views), await embedder.images(copies), atol=1e-5)

    async def test_order_is_kept_in_a_mixed_batch(self, embedder: Embedder) -> None:
        mixed = [*photographs(), np.ascontiguousarray(data.chelsea().transpose(1, 0, 2)), data.rocket()]
        together = await embedder.images(mixed)
        for image, vector in zip(mixed, together, strict=True):
            assert (await embedder.images([image]))[0] @ vector > 0.99

    async def test_more_images_than_a_batch_are_embedded(self, embedder: Embedder) -> None:
        many = await embedder.images([data.chelsea()] * (embedder.batch + 3))
        assert (many @ many[0] > 0.99).all()
        assert (await embedder.texts(["a dog"] * 70)).shape[0] == 70

    async def test_a_text_has_the_same_vector_alone_and_in_a_batch(self, embedder: Embedder) -> None:
        together = await embedder.texts(["a cat", "a man in a yellow coat who waits for the last bus at night"])
        assert (await embedder.texts(["a cat"]))[0] @ together[0] > 0.999

    @pytest.mark.parametrize("text", ["", "   ", "猫", "dog " * 1000, "\x00\n<b>'; DROP TABLE", "🐈"])
    async def test_any_text_is_embedded(self, embedder: Embedder, text: str) -> None:
        assert np.isfinite(await embedder.texts([text])).all()

    async def test_the_same_input_gives_the_same_vectors(self, embedder: Embedder) -> None:
        np.testing.assert_allclose(
            await embedder.images(photographs()), await embedder.images(photographs()), atol=1e-5
        )
        np.testing.assert_allclose(await embedder.texts(TEXTS), await embedder.texts(TEXTS), atol=1e-5)

    async def test_calls_may_overlap(self, embedder: Embedder) -> None:
        expected = await embedder.images(photographs())
        calls = [embedder.images([image]) for image in photographs()]
        answers = await asyncio.gather(*calls, embedder.texts(TEXTS))
        for answer, vector in zip(answers, expected, strict=False):
            assert answer[0] @ vector > 0.99

    async def test_the_event_loop_stays_free(self, embedder: Embedder) -> None:
        await embedder.images(photographs())
        ticks = 0
        task = asyncio.create_task(embedder.images(photographs()))
        while not task.done():
            await asyncio.sleep(0)
            ticks += 1
        assert ticks > 10

    async def test_texts_find_their_image(self, embedder: Embedder) -> None:
        scores = (
            await embedder.texts(["a photo of a cat", "a cup of coffee", "a rocket"])
            @ (await embedder.images(photographs())).T
        )
        assert (scores.argmax(axis=1) == np.arange(3)).all()

    async def test_closing_twice_does_no_harm_and_later_calls_are_refused(self, embedder: Embedder) -> None:
        await embedder.texts(["a cat"])
        await embedder.close()
        await embedder.close()
        with pytest.raises(EmbedderError):
            await embedder.texts(["a cat"])
