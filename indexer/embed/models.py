"""Lists the CLIP models that can be chosen by name."""

from __future__ import annotations

from dataclasses import dataclass

from footage.indexer.embed.base import EmbedderError

DEFAULT_MODEL = "clip/ViT-B-16"


@dataclass(frozen=True, slots=True)
class ClipModel:
    """A CLIP model; ``docs/models.md`` has the sources of the numbers.

    Attributes:
        name: name of the model and its space.
        repo: repository of its ONNX files, ``owner/name`` on the hub; None when nobody is known to publish them.
        inside: folder within the repository, where it holds several models.
        dim: length of a vector.
        side: side of its input images in pixels.
        megabytes: size of the download, both networks in single precision; None when unknown.
        license: license of the weights.
        recall: text-to-image R@1 on COCO, percent, as published; None when unknown.
        note: what to know before choosing it.
    """

    name: str
    repo: str | None
    dim: int
    side: int
    megabytes: int | None
    license: str
    recall: float | None
    note: str = ""
    inside: str = ""


MODELS = {
    model.name: model
    for model in (
        ClipModel(
            DEFAULT_MODEL, "immich-app/ViT-B-16__openai", 512, 224, 599, "MIT", 33.1, "default; Inference serves it too"
        ),
        ClipModel("clip/ViT-B-32", "immich-app/ViT-B-32__openai", 512, 224, 606, "MIT", 30.4, "half the work of B-16"),
        ClipModel(
            "clip/ViT-B-32-laion2b",
            "immich-app/ViT-B-32__laion2b-s34b-b79k",
            *(512, 224, 606, "MIT", 39.3),
            "as fast as B-32, finds more",
        ),
        ClipModel(
            "clip/ViT-B-32-256-datacomp",
            None,
            *(512, 256, None, "MIT", 39.9),
            "export it with open_clip (ViT-B-32-256, datacomp_s34b_b86k) and give its folder",
        ),
        ClipModel(
            "clip/ViT-B-16-SigLIP2",
            "immich-app/ViT-B-16-SigLIP2__webli",
            *(768, 224, None, "Apache-2.0", 52.1),
            "many languages; a large text network",
        ),
        ClipModel(
            "clip/MobileCLIP2-S0",
            "plhery/mobileclip2-onnx",
            *(512, 256, None, "Apple AMLR, research only", 43.7),
            "smallest image network; not tried by us",
            "onnx/s0",
        ),
        ClipModel(
            "clip/MobileCLIP2-S2",
            "plhery/mobileclip2-onnx",
            *(512, 256, None, "Apple AMLR, research only", 48.8),
            "not tried by us",
            "onnx/s2",
        ),
    )
}


def find_model(name: str) -> ClipModel:
    """Return the model of this name, with or without ``clip/``; ``owner/name`` is another repository of the hub.

    Raises:
        EmbedderError: there is no such model; the message lists the models.
    """
    known = MODELS.get(name) or MODELS.get(f"clip/{name}")
    if known:
        return known
    owner, _, rest = name.partition("/")
    if rest and owner != "clip" and "/" not in rest:
        return ClipModel(f"clip/{rest}", name, 0, 0, None, "see its page", None)
    raise EmbedderError(
        f"there is no model '{name}'; there are {', '.join(MODELS)}, any folder of a CLIP model in ONNX, "
        "and any repository of the hub (owner/name)"
    )
