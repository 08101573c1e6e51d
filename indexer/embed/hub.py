"""Models from a hub of Hugging Face's kind, downloaded once into the cache and pinned there.

The hub's own metadata (``GET /api/models/{repo}/revision/{revision}?blobs=true``) give the commit and a checksum of
each file. Both are remembered at the first download: what is fetched again later must be the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp

from footage.indexer.embed.download import Count, File, HubError, Progress, download, size_of, unreachable
from footage.indexer.embed.layout import NETWORKS, PICTURE, TOKENIZER, TOKENIZER_CONFIG
from footage.indexer.file_lock import held

HUGGING_FACE = "https://huggingface.co"
REACH = 3.0
PIN = "pin.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """What is downloaded: written to ``pin.json`` before the first file, and kept."""

    repo: str
    revision: str
    inside: str
    variant: str
    files: tuple[File, ...]


class Hub:
    """A hub and the cache of what came from it.

    Args:
        cache: folder for models; each has a folder of its own under ``models``.
        base: address of the hub; by default ``HF_ENDPOINT``, else Hugging Face's.
    """

    def __init__(self, cache: Path, base: str | None = None) -> None:
        self._cache = cache
        self.base = (base or os.environ.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")

    async def reachable(self, seconds: float = REACH) -> bool:
        """Whether the hub answers at all, within this time.

        Asked on a thread that nobody waits for: looking up a name may hang far beyond any time limit.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def tell(there: bool) -> None:
            if not answer.done():
                answer.set_result(there)

        def ask() -> None:
            there = _answers(self.base, seconds)
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, there)

        threading.Thread(target=ask, name="hub", daemon=True).start()
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            return False

    def folder(self, repo: str, inside: str = "", variant: str = "") -> Path:
        """Where the model is, or will be."""
        parts = [part for part in (repo, inside, variant) if part]
        return self._cache / "models" / re.sub(r"[^\w.-]+", "--", "--".join(parts))

    def present(self, repo: str, inside: str = "", variant: str = "") -> Path | None:
        """The model's folder, if it was downloaded whole."""
        folder = self.folder(repo, inside, variant)
        pin = _pinned(folder)
        whole = pin and all(size_of(_local(folder, inside, file)) == file.size for file in pin.files)
        return folder if whole else None

    async def fetch(
        self,
        repo: str,
        *,
        inside: str = "",
        variant: str = "",
        revision: str = "main",
        progress: Progress | None = None,
    ) -> Path:
        """Download a model unless it is there; what was begun is continued.

        Args:
            repo: ``owner/name``.
            inside: folder of the model within the repository.
            variant: of the networks, for example ``fp16``.
            revision: branch, tag or commit for the first download; later the one of the first is kept.

        Returns:
            The model's folder.

        Raises:
            HubError: what went wrong and what to do.
        """
        folder = self.folder(repo, inside, variant)
        folder.mkdir(parents=True, exist_ok=True)
        async with held(folder / ".lock", 0.1):
            if self.present(repo, inside, variant):
                return folder
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
            async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
                pin = _pinned(folder)
                if pin is None:
                    pin = await self._look(session, repo, inside, variant, revision)
                    _write(folder / PIN, asdict(pin))
                done = Count(sum(file.size for file in pin.files), progress)
                for file in pin.files:
                    url = f"{self.base}/{repo}/resolve/{pin.revision}/{file.path}"
                    await download(session, url, file, _local(folder, inside, file), done)
        return folder

    async def _look(self, session: aiohttp.ClientSession, repo: str, inside: str, variant: str, revision: str) -> Pin:
        url = f"{self.base}/api/models/{repo}/revision/{revision}"
        try:
            async with session.get(url, params={"blobs": "true"}) as response:
                if response.status in (401, 403, 404):
                    raise HubError(f"{self.base} has no public model {repo} ({response.status}); is the name right?")
                response.raise_for_status()
                told = await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise HubError(unreachable(self.base, error)) from error
        files = _wanted(told.get("siblings") or [], inside, variant)
        if not files:
            kind = f"'{variant}' networks" if variant else "CLIP model in ONNX in a layout that is known"
            raise HubError(f"{repo} on {self.base} holds no {kind}; see the list with: footage model list")
        return Pin(repo, str(told["sha"]), inside, variant, files)


def _wanted(siblings: Iterable[dict[str, Any]], inside: str, variant: str) -> tuple[File, ...]:
    """The files of one model: its networks (with what they keep beside them), configurations and tokenizer."""
    start = f"{inside}/" if inside else ""
    files = {str(s["rfilename"]): s for s in siblings}
    suffix = f"_{variant}" if variant else ""
    for pair in NETWORKS.values():
        networks = [start + path.format(suffix) for path in pair]
        if all(path in files for path in networks):
            break
    else:
        return ()
    small = {"config.json", *PICTURE, *TOKENIZER, *TOKENIZER_CONFIG}
    names = {path for path in files if path.removeprefix(start) in small or (start and path in small)}
    names |= {path for path in files if any(path in (n, f"{n}_data", f"{n}.data") for n in networks)}
    return tuple(_file(files[name]) for name in sorted(names))


def _file(sibling: dict[str, Any]) -> File:
    lfs = sibling.get("lfs") or {}
    size = lfs.get("size", sibling.get("size"))
    if size is None:
        raise HubError(f"the hub does not tell the size of {sibling['rfilename']}; set HF_ENDPOINT to another one")
    return File(str(sibling["rfilename"]), int(size), lfs.get("sha256") or lfs.get("oid"), sibling.get("blobId"))


def _local(folder: Path, inside: str, file: File) -> Path:
    """Where a file is kept: what lies inside the model's own folder of a repository comes to the top."""
    path = PurePosixPath(file.path.removeprefix(f"{inside}/") if inside else file.path)
    if path.is_absolute() or ".." in path.parts:
        raise HubError(f"the hub names a file outside its folder: {file.path}")
    return folder / path


def _pinned(folder: Path) -> Pin | None:
    try:
        content = json.loads((folder / PIN).read_text(encoding="utf-8"))
        return Pin(**(content | {"files": tuple(File(**file) for file in content["files"])}))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, content: Any) -> None:
    part = path.with_suffix(".tmp")
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    part.replace(path)


def _answers(base: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(base, method="HEAD"), timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
