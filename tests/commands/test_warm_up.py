"""Tests what a service does right after its start so that the first question does not wait; no error ends it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from footage.commands.warm_up import warming_up
from footage.indexer.store.base import Store
from footage.indexer.store.errors import StoreError
from footage.indexer.store.lance import LanceStore
from footage.query.search.engine import SearchEngine
from footage.query.search.question import Question
from tests.indexer.store.store_contract import SPACE, make_records


class AskedEngine:
    """A search engine that fails when it has been asked."""

    def __init__(self, error: Exception) -> None:
        self.asked, self._error = asyncio.Event(), error

    async def search(self, question: Question) -> None:
        assert question.terms
        self.asked.set()
        raise self._error


@pytest.mark.parametrize("error", [StoreError("no disk"), RuntimeError("a mistake")])
async def test_a_question_is_asked_whose_failure_is_nobodys_concern(tmp_path, error):
    store, engine = await LanceStore.open(tmp_path, SPACE), AskedEngine(error)
    await store.write(make_records(50))
    async with warming_up(store, cast(SearchEngine, engine)), asyncio.timeout(60):
        await engine.asked.wait()
    assert len(await store.nearest(make_records(50)[7].vector, 5)) == 5
    await store.close()


async def test_the_nodes_of_a_cluster_are_asked_nothing():
    engine = AskedEngine(RuntimeError("asked"))
    async with warming_up(cast(Store, object()), cast(SearchEngine, engine)):
        for _ in range(10):
            await asyncio.sleep(0)
    assert not engine.asked.is_set()
