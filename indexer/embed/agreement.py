"""Compares a model's vectors with another runtime's, before they are believed.

A runtime may misread an operator of an ONNX file and give other vectors without an error. Where ONNX Runtime is
installed, both networks must give its vectors; elsewhere a network must agree with itself at another precision, which
shows overflows but no operator that both precisions misread: that is what ``footage model check`` is for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.runtime import Feeds, Plan, compile_tower, cosines
from footage.indexer.embed.runtime_benchmark import REFERENCE, cache_key, read_cache, write_cache
from footage.indexer.embed.tower import Tower

TEXTS = ("a dog lying on a red sofa next to a window", "two people", "a blue car in front of a house at night")
COUNT = 3
MIN_COSINE = 0.999
"""Between runtimes that compute in single precision."""
MIN_ROUNDED_COSINE = 0.99
"""Between single precision and bf16, or of networks rounded to integers, which each runtime computes in its own way."""
ROUNDED_VARIANTS = ("int8", "uint8", "q4", "bnb4", "quantized")
CACHE_FILE = "agreements.json"


def check_agreement(towers: Sequence[tuple[Tower, Feeds]], cache: Path, variant: str = "") -> None:
    """Check both networks of a model on three inputs, unless that was done on this machine before.

    Args:
        towers: each network, with three rows for each of its inputs.
        cache: folder of the file that remembers which networks agreed.
        variant: variant of the networks, for example ``quantized``.

    Raises:
        EmbedderError: a network gives no numbers, or other vectors elsewhere; the message says which and what to do.
    """
    known = read_cache(cache / CACHE_FILE)
    keys = [cache_key(tower, 0) for tower, _ in towers]
    if all(key in known for key in keys):
        return
    found = {key: _agree(tower, feeds, variant) for key, (tower, feeds) in zip(keys, towers, strict=True)}
    write_cache(cache / CACHE_FILE, known | found)


def _agree(tower: Tower, feeds: Feeds, variant: str) -> float:
    """Return the smallest cosine between the vectors of two ways to run a network."""
    other, least = _other_plan(), MIN_COSINE
    if other.runtime == REFERENCE.runtime or any(word in variant for word in ROUNDED_VARIANTS):
        least = MIN_ROUNDED_COSINE
    vectors, others = (_run(tower, plan, feeds) for plan in (REFERENCE, other))
    cosine = float(cosines(vectors, others).min())
    if cosine < least:
        raise EmbedderError(
            f"{tower.path}: {REFERENCE.runtime} {REFERENCE.precision} and {other.runtime} {other.precision} give "
            f"different vectors (cosine {cosine:.3f}, at least {least} is needed), so neither can be believed; "
            "export the model again, or use another variant of it"
        )
    return cosine


def _run(tower: Tower, plan: Plan, feeds: Feeds) -> NDArray[np.float32]:
    run = compile_tower(tower, plan)
    try:
        vectors = run(feeds)
    except Exception as error:  # ONNX Runtime has a dozen kinds of its own
        reason = str(error).strip().partition("\n")[0]
        raise EmbedderError(
            f"{tower.path} cannot be run by {plan.runtime}: {reason}; are all files of one model?"
        ) from error
    return require_numbers(vectors, str(tower.path))


def _other_plan() -> Plan:
    if importlib.util.find_spec("onnxruntime"):
        return Plan("onnxruntime", batch=COUNT)
    return replace(REFERENCE, precision="bf16")


def require_numbers(vectors: NDArray[np.float32], who: str) -> NDArray[np.float32]:
    """Return the vectors if all are finite and none is of length 0.

    Raises:
        EmbedderError: a vector has no direction.
    """
    lengths: NDArray[Any] = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(lengths).all() or (len(lengths) and lengths.min() < np.finfo(np.float32).tiny):
        raise EmbedderError(f"{who} gives vectors that are not numbers, or zero; fetch or export the model again")
    return vectors
