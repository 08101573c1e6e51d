"""One file from the web to the disk: continued where it broke off, checked, then in place at once."""

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
"""Told bytes done and bytes in all, over all files of a model."""


BLOCK = 1 << 20


class HubError(EmbedderError):
    """The hub cannot be reached, lacks the model, or gave something else than before."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model.

    Attributes:
        path: in the repository.
        size: in bytes.
        sha256: of its content, for large files (LFS).
        blob: Git's SHA-1 of the content, for the others.
    """

    path: str
    size: int
    sha256: str | None
    blob: str | None


class Count:
    """Bytes so far, passed on to whoever watches."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, count: int) -> None:
        self._done += count
        if self._progress:
            self._progress(self._done, self._total)


async def download(session: aiohttp.ClientSession, url: str, file: File, path: Path, done: Count) -> None:
    """Fetch ``url`` to ``path`` unless it is there already, whole.

    Raises:
        HubError: it cannot be fetched, or is not what its checksum says.
    """
    if await asyncio.to_thread(_matches, path, file):
        done.add(file.size)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    done.add(min(size_of(part) or 0, file.size))
    try:
        async for attempt in stamina.retry_context(
            (aiohttp.ClientError, OSError, TimeoutError), attempts=6, timeout=600
        ):
            with attempt:
                await _continue(session, url, file, part, done)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise HubError(unreachable(url, error)) from error
    if not await asyncio.to_thread(_matches, part, file):
        part.unlink()
        raise HubError(f"{url} is not what the hub's checksum says (sha {file.sha256 or file.blob}); try again later")
    part.replace(path)


async def _continue(session: aiohttp.ClientSession, url: str, file: File, part: Path, done: Count) -> None:
    """Fetch what is missing of a file, from where the last attempt ended."""
    begun = size_of(part) or 0
    if size_of(part) is not None and begun >= file.size:
        return
    headers = {"Range": f"bytes={begun}-", "Accept-Encoding": "identity"} if begun else {"Accept-Encoding": "identity"}
    async with session.get(url, headers=headers) as response:
        if response.status in (401, 403, 404, 410):
            raise HubError(
                f"{url} is not there any more ({response.status}); choose another model or hub (HF_ENDPOINT)"
            )
        response.raise_for_status()
        if begun and response.status != 206:  # it starts from the beginning
            done.add(-begun)
            begun = 0
        with part.open("r+b" if begun else "wb") as out:
            out.seek(begun)
            async for block in response.content.iter_chunked(BLOCK):
                out.write(block)
                done.add(len(block))


def _matches(path: Path, file: File) -> bool:
    """Whether the content is what the hub said it is."""
    if size_of(path) != file.size:
        return False
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.hexdigest() == (file.sha256 or file.blob or digest.hexdigest())


def size_of(path: Path) -> int | None:
    """Bytes of a file, None when there is none."""
    return path.stat().st_size if path.is_file() else None


def unreachable(where: str, error: Exception) -> str:
    """What is said when the hub does not answer."""
    said = str(error) or "it took too long"
    return (
        f"{where} cannot be reached ({said}); try again later, set HF_ENDPOINT to a hub that can be, "
        "give a folder that holds the model, or use --embedder lite"
    )
