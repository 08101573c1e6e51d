"""Prepares a service that has just started for its first question, so that whoever asks it does not wait longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from footage.indexer.store.base import Store
from footage.indexer.store.lance import LanceStore
from footage.query.search.engine import SearchEngine
from footage.query.search.options import SearchOptions, parse_sum
from footage.stream.errors import FootageError

log = logging.getLogger(__name__)


@asynccontextmanager
async def warming_up(store: Store, engine: SearchEngine) -> AsyncIterator[None]:
    """Warm up in the background while the block runs; it may end earlier or later than that."""
    task = asyncio.create_task(_warm_up(store, engine))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _warm_up(store: Store, engine: SearchEngine) -> None:
    """Load what an embedded store scans, as far as its setting allows, and answer a question that nobody asked.

    A cluster's nodes hold what is searched, and one service among many need not make them work.
    """
    if not isinstance(store, LanceStore):
        return
    try:
        await store.load()
        await engine.search(SearchOptions().to_question(parse_sum("a person")))
    except FootageError as error:
        log.info("the search that warms the service up was not answered: %s", error)  # whoever asks is told
    except Exception:
        log.exception("the search that warms the service up failed")
