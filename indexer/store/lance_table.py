"""Names, opens and creates the LanceDB table of a space."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from footage.indexer.embed.base import Space
from footage.indexer.store import rows

INDEX_CACHE = 192 << 20  # bytes; LanceDB's own default is 6 GB, and each write leaves more in it
METADATA_CACHE = 8 << 20  # bytes; 1 GB by default


def table_name(space: Space) -> str:
    """Return the name of a space's table: the space's name with special characters as _hex_, and its dimension."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda match: f"_{ord(match[0]):x}_", space.name) + f"_{space.dim}"


async def open_table(folder: Path, space: Space) -> Any:
    """Open the table of a space in a folder, or create it, without indexes."""
    database = await _connect(folder)
    return await database.create_table(table_name(space), schema=rows.arrow_schema(space.dim), exist_ok=True)


async def reopen_table(folder: Path, space: Space) -> Any:
    """Open the table of a space, which exists, with caches of its own that are empty."""
    return await (await _connect(folder)).open_table(table_name(space))


async def _connect(folder: Path) -> Any:
    from footage.indexer.store.lance_import import lancedb  # a third of a second, only when the table is asked

    session = lancedb.Session(INDEX_CACHE, METADATA_CACHE)
    return await lancedb.connect_async(folder, read_consistency_interval=timedelta(0), session=session)


async def create_scalar_indexes(table: Any) -> None:
    """Create the indexes of time, media and camera, unless the table has them."""
    from footage.indexer.store.lance_import import Bitmap, BTree

    if not await table.list_indices():
        await table.create_index("time", config=BTree())
        await table.create_index("media", config=BTree())
        await table.create_index("camera", config=Bitmap())
