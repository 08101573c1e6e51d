"""Which embedder is used, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from footage.indexer.embed.base import Embedder, EmbedderError, Space
from footage.indexer.embed.clip import Clip
from footage.indexer.embed.download import Progress
from footage.indexer.embed.hub import Hub
from footage.indexer.embed.inference_local import InferenceLocal
from footage.indexer.embed.inference_server import InferenceServer
from footage.indexer.embed.lite import Lite
from footage.indexer.embed.models import DEFAULT, MODELS, Model, find
from footage.indexer.embed.preprocess import Fit

KINDS = ("auto", "lite", "clip", "inference", "inference-server")
UNREACHABLE = "unreachable.json"
FORGET = 3600.0
"""Seconds for which a hub that could not be reached is not asked again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for.

    Attributes:
        cache: folder for models and measurements.
        kind: one of ``KINDS``.
        model: a name of the table, a folder, or a repository of the hub.
        fit: what happens to pictures that are not square; None is the model's own way.
        variant: of the networks, for example ``fp16``.
        url: of the Inference server.
        key: of the Roboflow workspace.
        quality: of JPEG on the way to the server; None sends PNG.
        limit: pictures in one request to the server.
        threads: how many processor threads networks may use; 0 leaves that to the runtime.
        hub: address of the hub; None takes ``HF_ENDPOINT``, else Hugging Face's.
        pinned: the space that the index is bound to already; ``auto`` keeps to it.
    """

    cache: Path
    kind: str = "auto"
    model: str = DEFAULT
    fit: Fit | None = None
    variant: str = ""
    url: str = "http://localhost:9001"
    key: str | None = field(default=None, repr=False)
    quality: int | None = None
    limit: int = 8
    threads: int = 0
    hub: str | None = None
    pinned: Space | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The embedder, and one line that says which it is and why."""

    embedder: Embedder
    line: str


async def choose(wish: Wish, progress: Progress | None = None) -> Chosen:
    """Open the embedder that is wanted; ``auto`` is CLIP where its weights are present or reachable, else lite.

    Args:
        progress: told the bytes of a download.

    Raises:
        EmbedderError: what is missing or wrong, and what to do.
    """
    makers: dict[str, Callable[[], Embedder]] = {
        "lite": lambda: Lite(threads=wish.threads),
        "inference": lambda: InferenceLocal(model=wish.model, key=wish.key, fit=wish.fit),
        "inference-server": lambda: InferenceServer(
            wish.url, model=wish.model, key=wish.key, fit=wish.fit, limit=wish.limit, quality=wish.quality
        ),
    }
    if wish.kind in makers:
        embedder = makers[wish.kind]()
        return Chosen(embedder, f"{embedder.space.name} by {wish.kind}, as asked")
    if wish.kind == "clip":
        return await _clip(wish, progress, "as asked")
    if wish.kind != "auto":
        raise EmbedderError(f"embedder: '{wish.kind}' is not one of {', '.join(KINDS)}")
    return await _auto(wish, progress)


async def _auto(wish: Wish, progress: Progress | None) -> Chosen:
    pinned = wish.pinned.name if wish.pinned else None
    if pinned and pinned.startswith("lite/"):  # an index of an earlier lite is refused by name when it is opened
        return Chosen(Lite(threads=wish.threads), f"{Lite.space.name}, for an index of {pinned}")
    if pinned:
        model = pinned if wish.model == DEFAULT and pinned in MODELS else wish.model
        return await _clip(replace(wish, model=model), progress, "which this index was made with")
    if folder_of(wish):
        return await _clip(wish, progress, "its weights are here")
    hub = Hub(wish.cache, wish.hub)
    if await _reachable(hub, wish.cache):
        return await _clip(wish, progress, f"fetched from {hub.base}")
    why = f"{hub.base} cannot be reached for the weights of {wish.model}; `footage model use` asks it again"
    return Chosen(Lite(threads=wish.threads), f"{Lite.space.name}, because {why}")


async def _clip(wish: Wish, progress: Progress | None, why: str) -> Chosen:
    folder = folder_of(wish)
    if folder is None:
        model = find(wish.model)
        if model.repo is None:
            raise EmbedderError(f"nobody is known to publish {model.name} in ONNX: {model.note}")
        folder = await Hub(wish.cache, wish.hub).fetch(
            model.repo, inside=model.inside, variant=wish.variant, progress=progress
        )
    clip = await Clip.open(
        folder, cache=wish.cache, name=_name(wish), fit=wish.fit, variant=wish.variant, threads=wish.threads
    )
    return Chosen(clip, f"{clip.space.name} on {clip.trial.plan}; {why}")


def folder_of(wish: Wish) -> Path | None:
    """The model's folder: the one the person gave, or the one in the cache; None when it is still to be fetched."""
    given = Path(wish.model).expanduser()
    if given.is_dir():
        return given
    model = find(wish.model)
    return Hub(wish.cache).present(model.repo, model.inside, wish.variant) if model.repo else None


def _name(wish: Wish) -> str | None:
    given = Path(wish.model).expanduser()
    return None if given.is_dir() else find(wish.model).name


def present(model: Model, cache: Path, variant: str = "") -> bool:
    """Whether a model of the table is in the cache."""
    return bool(model.repo and Hub(cache).present(model.repo, model.inside, variant))


async def _reachable(hub: Hub, cache: Path) -> bool:
    """Ask the hub, unless it could not be reached a short while ago."""
    if _lately(hub.base, cache):
        return False
    there = await hub.reachable()
    _note(hub.base, cache, there)
    return there


def _lately(base: str, cache: Path) -> bool:
    try:
        known = json.loads((cache / UNREACHABLE).read_text(encoding="utf-8"))
        return bool(known["hub"] == base and 0 <= time.time() - known["time"] < FORGET)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _note(base: str, cache: Path, there: bool) -> None:
    path = cache / UNREACHABLE
    if there:
        path.unlink(missing_ok=True)
        return
    cache.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"hub": base, "time": time.time()}), encoding="utf-8")
