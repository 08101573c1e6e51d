"""Tests what a service publishes of its cameras for other processes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from footage.indexer.store.base import Catalog
from footage.query.http.camera_status import publish_status, published_load


async def test_a_service_that_ends_withdraws_its_status(catalog: Catalog) -> None:
    """Else its cameras are shown as live for as long as the last status counts as new."""
    live: Any = SimpleNamespace(cameras=list, load=lambda: SimpleNamespace(busy=0.5, sustained=3, dropped=0))
    stage = asyncio.create_task(publish_status(catalog, live))
    async with asyncio.timeout(20):
        while (load := await published_load(catalog)) is None:
            await asyncio.sleep(0.01)
    assert load.sustained == 3
    stage.cancel()
    await asyncio.wait([stage])
    assert stage.cancelled()
    assert await published_load(catalog) is None
