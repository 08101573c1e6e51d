import asyncio
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.embed.base import EmbedderError
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import Barrier, Pipeline, PipelineItem
from footage.stream.frame import Clock, Frame, Kind, Media, Region
from tests.indexer.color_embedder import ColorEmbedder

START = datetime(2026, 5, 4, tzinfo=UTC)
MEDIA = Media("a" * 16, "yard", "/yard.mp4", Kind.VIDEO, START, Clock.GIVEN, 100.0)


def frame(second: int, color=(255, 0, 0), size=(4, 4)) -> Frame:
    image = np.full((*size, 3), color, dtype=np.uint8)
    return Frame("yard", START + timedelta(seconds=second), MEDIA, float(second), image)


class FakeStore:
    """A store that only records what was written, and can be slow or fail."""

    def __init__(self, delay=0.0, error=None):
        self.writes, self.delay, self.error = [], delay, error

    async def write(self, records):
        await asyncio.sleep(self.delay)
        if self.error:
            raise self.error
        self.writes.append(list(records))

    @property
    def records(self):
        return [r for write in self.writes for r in write]


async def test_records_are_written_in_order_with_their_own_vectors():
    channel, store = Channel(8), FakeStore()
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]

    def feed():
        for i in range(50):
            channel.put(PipelineItem(frame(i, colors[i % 3])))
        channel.close()

    thread = threading.Thread(target=feed)
    thread.start()
    pipeline = Pipeline(channel, ColorEmbedder(0.001), store, rows=10)
    await asyncio.wait_for(pipeline.run(), 10)
    thread.join()
    assert [r.offset for r in store.records] == [float(i) for i in range(50)]
    assert [int(np.argmax(r.vector)) for r in store.records] == [i % 3 for i in range(50)]
    assert pipeline.stats.written == 50


async def test_time_spent_embedding_is_counted_while_there_is_always_a_next_batch():
    channel, turns = Channel(8), asyncio.Semaphore(0)

    class InTurn(ColorEmbedder):
        batch = 1

        async def images(self, batch):
            vectors = await super().images(batch)
            await turns.acquire()
            return vectors

    for i in range(3):
        channel.put(PipelineItem(frame(i)))
    channel.close()
    embedder = InTurn(0.01)
    pipeline = Pipeline(channel, embedder, FakeStore())
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(10):
        while len(embedder.batches) < 2:
            await asyncio.sleep(0.001)
        turns.release()
        while not pipeline.stats.embedded:
            await asyncio.sleep(0.001)
        assert pipeline.stats.embed_seconds > 0  # and the second batch is in the embedder since before
        turns.release()
        turns.release()
        await running
    assert pipeline.stats.embedded == 3


async def test_frames_that_come_while_the_embedder_is_busy_join_the_next_batch():
    channel, turns, sizes = Channel(8), asyncio.Semaphore(0), []

    class InTurn(ColorEmbedder):
        batch = 4

        async def images(self, batch):
            sizes.append(len(batch))
            await turns.acquire()
            return await super().images(batch)

    channel.put(PipelineItem(frame(0)))
    pipeline = Pipeline(channel, InTurn(), FakeStore(), wait=0.001, ahead=1)
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(60):
        while not sizes:
            await asyncio.sleep(0.001)
        for second in range(1, 5):
            channel.put(PipelineItem(frame(second)))
            for _ in range(10):  # much longer than it waits for a batch to fill
                await asyncio.sleep(0.001)
        channel.close()
        turns.release()
        turns.release()
        await running
    assert sizes == [1, 4]


async def test_a_barrier_is_reached_only_when_all_before_it_is_durable():
    channel, store, seen = Channel(64), FakeStore(delay=0.01), []

    async def reached():
        seen.append(len(store.records))

    for i in range(20):
        channel.put(PipelineItem(frame(i)))
    channel.put(Barrier(reached))
    for i in range(20, 30):
        channel.put(PipelineItem(frame(i)))
    channel.close()
    await asyncio.wait_for(Pipeline(channel, ColorEmbedder(), store, rows=1000).run(), 10)
    assert len(seen) == 1
    assert seen[0] >= 20
    assert len(store.records) == 30


async def test_a_few_records_are_written_after_their_wait():
    channel, store = Channel(64), FakeStore()
    channel.put(PipelineItem(frame(0)))
    running = asyncio.create_task(Pipeline(channel, ColorEmbedder(), store, wait=0.01, rows=1000, seconds=0.05).run())
    async with asyncio.timeout(30):
        while not store.writes:
            await asyncio.sleep(0.005)
    channel.close()
    await running
    assert len(store.records) == 1


async def test_after_a_pause_records_are_written_at_once_and_later_ones_are_collected():
    channel, store = Channel(64), FakeStore()
    pipeline = Pipeline(channel, ColorEmbedder(), store, wait=0.01, rows=5, seconds=3600)
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(30):
        for i in range(6):
            channel.put(PipelineItem(frame(i)))
            while pipeline.stats.embedded <= i or not store.writes:
                await asyncio.sleep(0.005)
        while len(store.writes) < 2:
            await asyncio.sleep(0.005)
    channel.close()
    await running
    assert [len(write) for write in store.writes] == [1, 5]


async def test_regions_are_records_of_the_same_time_beside_the_whole_frame():
    channel, store = Channel(8), FakeStore()
    image = np.full((100, 200, 3), 200, dtype=np.uint8)
    image[50:, 100:] = (0, 0, 255)
    corner = Region(0.5, 0.5, 1.0, 1.0)
    channel.put(PipelineItem(Frame("yard", START, MEDIA, 0.0, image), (corner,)))
    channel.close()
    await Pipeline(channel, ColorEmbedder(), store).run()
    whole, part = store.records
    assert (whole.time, whole.region) == (part.time, None)
    assert part.region == corner
    assert part.vector[2] > 0.99 > whole.vector[2]


@pytest.mark.parametrize("broken", ["embedder", "store"])
async def test_an_error_of_a_stage_reaches_the_caller_and_releases_the_capture_threads(broken):
    channel = Channel(2)
    embedder, store = ColorEmbedder(), FakeStore(error=OSError("disk full") if broken == "store" else None)
    if broken == "embedder":

        async def images(batch):
            raise EmbedderError("no model")

        embedder.images = images
    stopped = []

    def feed():
        i = 0
        while channel.put(PipelineItem(frame(i))):
            i += 1
        stopped.append(True)

    thread = threading.Thread(target=feed)
    thread.start()
    with pytest.raises(EmbedderError if broken == "embedder" else OSError):
        await asyncio.wait_for(Pipeline(channel, embedder, store, rows=4).run(), 10)
    thread.join(5)
    assert stopped == [True]
