"""Remembers the fingerprints of models that run in this process, so that they are not computed at every start."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.embed.compiled import describe_file
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.embed.openvino_core import describe_processor, openvino
from footage.stream.atomic import atomic_write

CACHE_FILE = "fingerprints.json"
MAX_REMEMBERED = 32
"""Fingerprints in the cache file, the newest."""


def identify_model(files: Sequence[Path], *options: object) -> str:
    """Return a name of a model that runs in this process: while it is the same, so are the model's vectors.

    It changes with the model's files, this package's code, OpenVINO, the processor and the options.
    """
    described = [describe_file(path) for path in (Path(__file__), *files)]
    key = repr((described, openvino.__version__, describe_processor(), options))
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


async def cached_fingerprint(embedder: Embedder, identity: str, cache: Path) -> bytes:
    """Return the fingerprint that was computed for this identity before, or compute it and remember it.

    So a search in words does not load the image network, whose vectors cannot have changed.

    Args:
        identity: from ``identify_model``; empty where the model may change unseen, as on a server: then it is computed.
        cache: folder of all models.

    Raises:
        EmbedderError: the model cannot be run or reached.
    """
    if not identity:
        return await fingerprint(embedder)
    path = cache / CACHE_FILE
    known = await asyncio.to_thread(_read, path)
    try:
        found = base64.b64decode(known[identity], validate=True)
        if len(found) == 2 * embedder.space.dim * np.dtype("<f4").itemsize:
            return found
    except (KeyError, TypeError, ValueError):
        pass
    found = await fingerprint(embedder)
    await asyncio.to_thread(_write, path, known | {identity: base64.b64encode(found).decode()})
    return found


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, known: dict[str, str]) -> None:
    with suppress(OSError):  # without it, the next process computes the fingerprint again
        path.parent.mkdir(parents=True, exist_ok=True)
        newest = dict([*known.items()][-MAX_REMEMBERED:])
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(newest, indent=1), encoding="utf-8")
