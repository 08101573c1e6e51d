"""Downloads models from a hub with Hugging Face's API into the cache, at a fixed revision.

The hub's metadata (``GET /api/models/{repo}/revision/{revision}?blobs=true``) give the commit and a checksum of each
file. Both are recorded at the first download: what is downloaded again later must be the same.
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

from footage.indexer.embed.download import (
    ByteCounter,
    HubError,
    HubFile,
    Progress,
    download_file,
    file_size,
    unreachable_message,
)
from footage.indexer.embed.layout import NETWORKS, PREPROCESSING, TOKENIZER, TOKENIZER_CONFIG
from footage.indexer.file_lock import lock_file
from footage.stream.atomic import atomic_write

HUGGING_FACE = "https://huggingface.co"
REACHABLE_TIMEOUT = 3.0
REVISION_FILE = "pin.json"


@dataclass(frozen=True, slots=True)
class ModelRevision:
    """The revision and the files of a model: written to ``pin.json`` before the first file is downloaded."""

    repo: str
    revision: str
    inside: str
    variant: str
    files: tuple[HubFile, ...]


class Hub:
    """A hub, and the cache of models downloaded from it.

    Args:
        cache: folder for models; each has a folder of its own under ``models``.
        base: address of the hub; by default ``HF_ENDPOINT``, else Hugging Face's.
    """

    def __init__(self, cache: Path, base: str | None = None) -> None:
        self._cache = cache
        self.base = (base or os.environ.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")

    async def reachable(self, seconds: float = REACHABLE_TIMEOUT) -> bool:
        """Whether the hub answers within this time.

        A daemon thread asks, because looking up a name may hang far beyond any time limit.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def set_answer(reachable: bool) -> None:
            if not answer.done():
                answer.set_result(reachable)

        def ask() -> None:
            reachable = _answers(self.base, seconds)
            if not loop.is_closed():
                loop.call_soon_threadsafe(set_answer, reachable)

        threading.Thread(target=ask, name="hub", daemon=True).start()
        try:
            return await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            return False

    def folder(self, repo: str, inside: str = "", variant: str = "") -> Path:
        """Return the folder where the model is, or will be."""
        parts = [part for part in (repo, inside, variant) if part]
        return self._cache / "models" / re.sub(r"[^\w.-]+", "--", "--".join(parts))

    def downloaded_folder(self, repo: str, inside: str = "", variant: str = "") -> Path | None:
        """Return the model's folder, if the download is complete."""
        folder = self.folder(repo, inside, variant)
        model = _read_revision(folder)
        whole = model and all(file_size(_local_path(folder, inside, file)) == file.size for file in model.files)
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
        """Download a model unless it is cached; an interrupted download is resumed.

        Args:
            repo: ``owner/name``.
            inside: folder of the model within the repository.
            variant: variant of the networks, for example ``fp16``.
            revision: branch, tag or commit for the first download; later downloads use the commit of the first.

        Returns:
            The model's folder.

        Raises:
            HubError: the download failed; the message says what to do.
        """
        folder = self.folder(repo, inside, variant)
        folder.mkdir(parents=True, exist_ok=True)
        async with lock_file(folder / ".lock", 0.1):
            if self.downloaded_folder(repo, inside, variant):
                return folder
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
            async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
                model = _read_revision(folder)
                if model is None:
                    model = await self._resolve_revision(session, repo, inside, variant, revision)
                    with atomic_write(folder / REVISION_FILE) as draft:
                        draft.write_text(json.dumps(asdict(model), indent=1), encoding="utf-8")
                done = ByteCounter(sum(file.size for file in model.files), progress)
                for file in model.files:
                    url = f"{self.base}/{repo}/resolve/{model.revision}/{file.path}"
                    await download_file(session, url, file, _local_path(folder, inside, file), done)
        return folder

    async def _resolve_revision(
        self, session: aiohttp.ClientSession, repo: str, inside: str, variant: str, revision: str
    ) -> ModelRevision:
        url = f"{self.base}/api/models/{repo}/revision/{revision}"
        try:
            async with session.get(url, params={"blobs": "true"}) as response:
                if response.status in (401, 403, 404):
                    raise HubError(f"{self.base} has no public model {repo} ({response.status}); is the name right?")
                response.raise_for_status()
                listing = await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise HubError(unreachable_message(self.base, error)) from error
        files = _select_files(listing.get("siblings") or [], inside, variant)
        if not files:
            kind = f"'{variant}' networks" if variant else "CLIP model in ONNX in a layout that is known"
            raise HubError(f"{repo} on {self.base} holds no {kind}; see the list with: footage model list")
        return ModelRevision(repo, str(listing["sha"]), inside, variant, files)


def _select_files(siblings: Iterable[dict[str, Any]], inside: str, variant: str) -> tuple[HubFile, ...]:
    """Select the files of one model: its networks (with external data), configurations and tokenizer."""
    start = f"{inside}/" if inside else ""
    files = {str(s["rfilename"]): s for s in siblings}
    suffix = f"_{variant}" if variant else ""
    for pair in NETWORKS.values():
        networks = [start + path.format(suffix) for path in pair]
        if all(path in files for path in networks):
            break
    else:
        return ()
    small = {"config.json", *PREPROCESSING, *TOKENIZER, *TOKENIZER_CONFIG}
    names = {path for path in files if path.removeprefix(start) in small or (start and path in small)}
    names |= {path for path in files if any(path in (n, f"{n}_data", f"{n}.data") for n in networks)}
    return tuple(_hub_file(files[name]) for name in sorted(names))


def _hub_file(sibling: dict[str, Any]) -> HubFile:
    lfs = sibling.get("lfs") or {}
    size = lfs.get("size", sibling.get("size"))
    if size is None:
        raise HubError(f"the hub does not tell the size of {sibling['rfilename']}; set HF_ENDPOINT to another one")
    return HubFile(str(sibling["rfilename"]), int(size), lfs.get("sha256") or lfs.get("oid"), sibling.get("blobId"))


def _local_path(folder: Path, inside: str, file: HubFile) -> Path:
    """Return the local path of a file; the model's folder within the repository becomes the top folder."""
    path = PurePosixPath(file.path.removeprefix(f"{inside}/") if inside else file.path)
    if path.is_absolute() or ".." in path.parts:
        raise HubError(f"the hub names a file outside its folder: {file.path}")
    return folder / path


def _read_revision(folder: Path) -> ModelRevision | None:
    try:
        content = json.loads((folder / REVISION_FILE).read_text(encoding="utf-8"))
        return ModelRevision(**(content | {"files": tuple(HubFile(**file) for file in content["files"])}))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _answers(base: str, seconds: float) -> bool:
    try:
        request = urllib.request.Request(base, method="HEAD")
        with urllib.request.urlopen(request, timeout=seconds):  # an address of the settings  # nosec B310
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
