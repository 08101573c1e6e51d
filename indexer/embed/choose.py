"""Chooses the embedder from the options, and explains the choice."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from footage.indexer.embed.base import Embedder, EmbedderError, Space
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.embed.models import DEFAULT_MODEL, MODELS, ClipModel, find_model

if TYPE_CHECKING:
    from footage.indexer.embed.download import Progress
    from footage.indexer.embed.hub import Hub
    from footage.indexer.embed.preprocess import Fit

# Each way to embed imports its own packages (aiohttp, OpenCV, Pillow) when it is chosen: a search starts in a second.

EMBEDDER_KINDS = ("auto", "lite", "clip", "inference", "inference-server")
UNREACHABLE_FILE = "unreachable.json"
UNREACHABLE_SECONDS = 3600.0
"""Seconds for which a hub that could not be reached is not tried again."""


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """What the user asked for.

    Attributes:
        cache: folder for models and measurements.
        kind: one of ``EMBEDDER_KINDS``.
        model: a name from ``MODELS``, a folder, or a repository of the hub.
        fit: how images that are not square are fitted; None is the model's default.
        variant: variant of the networks, for example ``fp16``.
        url: address of the Inference server.
        key: API key of the Roboflow workspace.
        quality: JPEG quality of images sent to the server; None sends PNG.
        limit: images in one request to the server.
        report_usage: let Inference in this process report its use to Roboflow.
        threads: how many processor threads networks may use; 0 leaves that to the runtime.
        hub: address of the hub; None takes ``HF_ENDPOINT``, else Hugging Face's.
        bound: the space that the index is bound to already; ``auto`` keeps to it.
        lazy: load the image network when the first image comes, which for a question in words is never.
    """

    cache: Path
    kind: str = "auto"
    model: str = DEFAULT_MODEL
    fit: Fit | None = None
    variant: str = ""
    url: str = "http://localhost:9001"
    key: str | None = field(default=None, repr=False)
    quality: int | None = None
    limit: int = 8
    report_usage: bool = False
    threads: int = 0
    hub: str | None = None
    bound: Space | None = None
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class ChosenEmbedder:
    """An embedder.

    Attributes:
        line: says which it is and why it was chosen.
        identity: while it is the same, so are the vectors (``fingerprint_cache.identify``); empty where they may change
            unseen, as on a server.
    """

    embedder: Embedder
    line: str
    identity: str = ""


async def choose(options: EmbedderOptions, progress: Progress | None = None) -> ChosenEmbedder:
    """Open the embedder of the options; ``auto`` is CLIP where its weights are cached or reachable, else lite.

    Args:
        progress: called with the progress of a download.

    Raises:
        EmbedderError: what is missing or wrong, and what to do.
    """
    why = f"by {options.kind}, as asked"
    if options.kind == "lite":
        return _open_lite(options, why)
    if options.kind in ("inference", "inference-server"):
        embedder = _open_inference(options)
        return ChosenEmbedder(embedder, f"{embedder.space.name} {why}")
    if options.kind == "clip":
        return await _open_clip(options, progress, "as asked")
    if options.kind != "auto":
        raise EmbedderError(f"embedder: '{options.kind}' is not one of {', '.join(EMBEDDER_KINDS)}")
    return await _choose_auto(options, progress)


async def _choose_auto(options: EmbedderOptions, progress: Progress | None) -> ChosenEmbedder:
    bound = options.bound.name if options.bound else None
    if bound and bound.startswith("lite/"):  # an index of an earlier lite is refused by name when it is opened
        return _open_lite(options, f"for an index of {bound}", ", ")
    if bound:
        model = bound if options.model == DEFAULT_MODEL and bound in MODELS else options.model
        return await _open_clip(replace(options, model=model), progress, "which this index was made with")
    if find_model_folder(options):
        return await _open_clip(options, progress, "its weights are here")
    from footage.indexer.embed.hub import Hub

    hub = Hub(options.cache, options.hub)
    if await _reachable(hub, options.cache):
        return await _open_clip(options, progress, f"fetched from {hub.base}")
    why = f"{hub.base} cannot be reached for the weights of {options.model}; `footage model use` asks it again"
    return _open_lite(options, f"because {why}", ", ")


def _open_lite(options: EmbedderOptions, why: str, separator: str = " ") -> ChosenEmbedder:
    lite = LiteEmbedder(threads=options.threads, cache=options.cache)
    return ChosenEmbedder(lite, f"{lite.space.name}{separator}{why}", lite.identity)


def _open_inference(options: EmbedderOptions) -> Embedder:
    if options.kind == "inference":
        from footage.indexer.embed.inference_local import InferenceLocalEmbedder

        return InferenceLocalEmbedder(
            model=options.model, key=options.key, fit=options.fit, report_usage=options.report_usage
        )
    from footage.indexer.embed.inference_server import InferenceServerEmbedder

    return InferenceServerEmbedder(
        options.url,
        model=options.model,
        key=options.key,
        fit=options.fit,
        limit=options.limit,
        quality=options.quality,
    )


async def _open_clip(options: EmbedderOptions, progress: Progress | None, why: str) -> ChosenEmbedder:
    from footage.indexer.embed.clip import ClipEmbedder
    from footage.indexer.embed.hub import Hub

    folder = find_model_folder(options)
    if folder is None:
        model = find_model(options.model)
        if model.repo is None:
            raise EmbedderError(f"nobody is known to publish {model.name} in ONNX: {model.note}")
        folder = await Hub(options.cache, options.hub).fetch(
            model.repo, inside=model.inside, variant=options.variant, progress=progress
        )
    clip = await ClipEmbedder.open(
        folder,
        cache=options.cache,
        name=_space_name(options),
        fit=options.fit,
        variant=options.variant,
        threads=options.threads,
        lazy=options.lazy,
    )
    return ChosenEmbedder(clip, f"{clip.space.name} on {clip.benchmark.plan}; {why}", clip.identity)


def find_model_folder(options: EmbedderOptions) -> Path | None:
    """Return the model's folder, given or cached; None when the model is not downloaded yet."""
    from footage.indexer.embed.hub import Hub

    given = Path(options.model).expanduser()
    if given.is_dir():
        return given
    model = find_model(options.model)
    return Hub(options.cache).downloaded_folder(model.repo, model.inside, options.variant) if model.repo else None


def _space_name(options: EmbedderOptions) -> str | None:
    given = Path(options.model).expanduser()
    return None if given.is_dir() else find_model(options.model).name


def is_downloaded(model: ClipModel, cache: Path, variant: str = "") -> bool:
    """Whether a model is in the cache."""
    from footage.indexer.embed.hub import Hub

    return bool(model.repo and Hub(cache).downloaded_folder(model.repo, model.inside, variant))


async def _reachable(hub: Hub, cache: Path) -> bool:
    """Whether the hub answers; it is not tried again shortly after it could not be reached."""
    if _recently_unreachable(hub.base, cache):
        return False
    there = await hub.reachable()
    _remember_reachability(hub.base, cache, there)
    return there


def _recently_unreachable(base: str, cache: Path) -> bool:
    try:
        known = json.loads((cache / UNREACHABLE_FILE).read_text(encoding="utf-8"))
        return bool(known["hub"] == base and 0 <= time.time() - known["time"] < UNREACHABLE_SECONDS)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remember_reachability(base: str, cache: Path, there: bool) -> None:
    path = cache / UNREACHABLE_FILE
    if there:
        path.unlink(missing_ok=True)
        return
    cache.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"hub": base, "time": time.time()}), encoding="utf-8")
