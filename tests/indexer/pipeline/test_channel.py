import asyncio
import threading

import pytest

from footage.indexer.pipeline.channel import Channel


async def test_a_full_channel_makes_a_thread_wait_and_keeps_the_order():
    channel: Channel[int] = Channel(3)
    thread = threading.Thread(target=lambda: [channel.put(i) for i in range(100)] and channel.close())
    thread.start()
    got = []
    while thread.is_alive() or len(channel):
        got += await channel.get(7, 0.05)
        assert len(channel) <= 3
    with pytest.raises(EOFError):
        await channel.get(7, 0.05)
    thread.join()
    assert got == list(range(100))


async def test_a_batch_is_returned_after_its_wait_although_it_is_not_full():
    channel: Channel[int] = Channel(10)
    channel.put(1)
    assert await asyncio.wait_for(channel.get(8, 0.05), 60) == [1]


async def test_closing_releases_waiting_threads_and_keeps_queued_items():
    channel: Channel[int] = Channel(1)
    assert channel.put(1)
    refused = []
    thread = threading.Thread(target=lambda: refused.append(channel.put(2)))
    thread.start()
    channel.close()
    thread.join(5)
    assert refused == [False]
    assert await channel.get(5, 0.1) == [1]
    with pytest.raises(EOFError):
        await channel.get(5, 0.1)


async def test_a_full_channel_drops_the_oldest_droppable_item():
    channel: Channel[int] = Channel(3)
    for item in (1, 2, 3):
        assert channel.offer(item, lambda i: i != 1) == []
    assert channel.offer(4, lambda i: i != 1) == [2]
    assert channel.drain(9) == [1, 3, 4]


async def test_a_new_item_is_dropped_when_nothing_else_may_be():
    channel: Channel[int] = Channel(1)
    channel.put(1)
    assert channel.offer(2, lambda _: False) == [2]
    assert channel.drain(9) == [1]
