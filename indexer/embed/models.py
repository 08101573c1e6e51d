"""The CLIP models that Footage knows by name."""

from __future__ import annotations

from dataclasses import dataclass

from footage.indexer.embed.base import EmbedderError

DEFAULT = "clip/ViT-B-16"


@dataclass(frozen=True, slots=True)
class Model:
    """One model; ``docs/models.md`` tells where the numbers are from.

    Attributes:
        name: of the model and its space.
        repo: where its ONNX files are, ``owner/name`` on the hub; None when nobody is known to publish them.
        inside: folder within the repository, where it holds several models.
        dim: length of a vector.
        side: of the pictures it takes, pixels.
        megabytes: to download, both networks in single precision; None when unknown.
        licence: of the weights.
        recall: text to image R@1 on COCO, percent, as published; None when unknown.
        note: what to know before choosing it.
    """

    name: str
    repo: str | None
    dim: int
    side: int
    megabytes: int | None
    licence: str
    recall: float | None
    note: str = ""
    inside: str = ""


MODELS = {
    model.name: model
    for model in (
        Model(DEFAULT, "immich-app/ViT-B-16__openai", 512, 224, 599, "MIT", 33.1, "default; Inference serves it too"),
        Model("clip/ViT-B-32", "immich-app/ViT-B-32__openai", 512, 224, 606, "MIT", 30.4, "half the work of B-16"),
        Model(
            "clip/ViT-B-32-laion2b",
            "immich-app/ViT-B-32__laion2b-s34b-b79k",
            *(512, 224, 606, "MIT", 39.3),
            "as fast as B-32, finds more",
        ),
        Model(
            "clip/ViT-B-32-256-datacomp",
            None,
            *(512, 256, None, "MIT", 39.9),
            "export it with open_clip (ViT-B-32-256, datacomp_s34b_b86k) and give its folder",
        ),
        Model(
            "clip/ViT-B-16-SigLIP2",
            "immich-app/ViT-B-16-SigLIP2__webli",
            *(768, 224, None, "Apache-2.0", 52.1),
            "many languages; a large word network",
        ),
        Model(
            "clip/MobileCLIP2-S0",
            "plhery/mobileclip2-onnx",
            *(512, 256, None, "Apple AMLR, research only", 43.7),
            "smallest picture network; not tried by us",
            "onnx/s0",
        ),
        Model(
            "clip/MobileCLIP2-S2",
            "plhery/mobileclip2-onnx",
            *(512, 256, None, "Apple AMLR, research only", 48.8),
            "not tried by us",
            "onnx/s2",
        ),
    )
}


def find(name: str) -> Model:
    """The model of this name, with or without ``clip/``; ``owner/name`` is a repository that is not in the table.

    Raises:
        EmbedderError: there is no such model; names those there are.
    """
    known = MODELS.get(name) or MODELS.get(f"clip/{name}")
    if known:
        return known
    owner, _, rest = name.partition("/")
    if rest and owner != "clip" and "/" not in rest:
        return Model(f"clip/{rest}", name, 0, 0, None, "see its page", None)
    raise EmbedderError(
        f"there is no model '{name}'; there are {', '.join(MODELS)}, any folder of a CLIP model in ONNX, "
        "and any repository of the hub (owner/name)"
    )
