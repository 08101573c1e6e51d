"""Downloads a file of a model: resumes an interrupted download, verifies the checksum, then renames it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import stamina

from footage.indexer.embed.base import EmbedderError

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in total, over all files of a model."""

BLOCK_BYTES = 1 << 20


class HubError(EmbedderError):
    """Raised when the hub cannot be reached, lacks the model, or sent other content than before."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model on the hub.

    Attributes:
        path: path in the repository.
        size: size in bytes.
        sha256: SHA-256 of the content, for large files (LFS).
        blob: Git's SHA-1 of the content, for the others.
    """

    path: str
    size: int
    sha256: str | None
    blob: str | None


class ByteCounter:
    """Counts the downloaded bytes and reports them to the progress callback."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, count: int) -> None:
        self._done += count
        if self._progress:
            self._progress(self._done, self._total)


async def download_file(session: aiohttp.ClientSession, url: str, file: HubFile, path: Path, done: ByteCounter) -> None:
    """Download ``url`` to ``path`` unless the complete file is there already.

    Raises:
        HubError: it cannot be downloaded, or its checksum is wrong.
    """
    if await asyncio.to_thread(_matches, path, file):
        done.add(file.size)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    done.add(min(file_size(part) or 0, file.size))
    try:
        async for attempt in stamina.retry_context(
            (aiohttp.ClientError, OSError, TimeoutError), attempts=6, timeout=600
        ):
            with attempt:
                await _continue(session, url, file, part, done)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise HubError(unreachable_message(url, error)) from error
    if not await asyncio.to_thread(_matches, part, file):
        part.unlink()
        raise HubError(f"{url} is not what the hub's checksum says (sha {file.sha256 or file.blob}); try again later")
    part.replace(path)


async def _continue(session: aiohttp.ClientSession, url: str, file: HubFile, part: Path, done: ByteCounter) -> None:
    """Download the rest of a file, from where the last attempt ended."""
    begun = file_size(part) or 0
    if file_size(part) is not None and begun >= file.size:
        return
    headers = {"Range": f"bytes={begun}-", "Accept-Encoding": "identity"} if begun else {"Accept-Encoding": "identity"}
    async with session.get(url, headers=headers) as response:
        if response.status in (401, 403, 404, 410):
            raise HubError(
                f"{url} is not there any more ({response.status}); choose another model or hub (HF_ENDPOINT)"
            )
        response.raise_for_status()
        if begun and response.status != 206:  # the server sends the whole file
            done.add(-begun)
            begun = 0
        with part.open("r+b" if begun else "wb") as out:
            out.seek(begun)
            async for block in response.content.iter_chunked(BLOCK_BYTES):
                out.write(block)
                done.add(len(block))


def _matches(path: Path, file: HubFile) -> bool:
    """Whether size and checksum equal the hub's."""
    if file_size(path) != file.size:
        return False
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest() == (file.sha256 or file.blob or digest.hexdigest())


def file_size(path: Path) -> int | None:
    """Return the size of a file in bytes, None when there is no file."""
    return path.stat().st_size if path.is_file() else None


def unreachable_message(where: str, error: Exception) -> str:
    """Return the message for a hub that does not answer."""
    reason = str(error) or "it took too long"
    return (
        f"{where} cannot be reached ({reason}); try again later, set HF_ENDPOINT to a hub that can be, "
        "give a folder that holds the model, or use --embedder lite"
    )
