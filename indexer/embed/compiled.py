"""Keeps compiled networks in the cache folder, so that another process loads them and does not compile them again."""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.network_memory import tracked
from footage.indexer.embed.openvino_core import core, describe_processor
from footage.indexer.embed.openvino_core import openvino as ov
from footage.stream.atomic import atomic_write

log = logging.getLogger(__name__)

FOLDER = "compiled"
CHECKSUM = 4
"""Bytes of the CRC-32 at the end of a file: a damaged one would give other vectors, not an error."""
UNUSED_SECONDS = 30 * 86_400.0
"""Files that were not loaded for so long are deleted: of an earlier OpenVINO, or of a model that is not used now."""


def describe_file(path: Path) -> str:
    """Return a name that changes with the content of a file and of those beside it, where a network's weights may be.

    Sizes and times of change stand for the contents, as they do for OpenVINO's own cache.
    """
    files = [(file.name, file.stat()) for file in sorted(path.parent.iterdir()) if file.is_file()]
    return repr([str(path.resolve()), *((name, stat.st_size, stat.st_mtime_ns) for name, stat in files)])


def compile_cached(
    read: Callable[[], ov.Model], source: str, options: Mapping[str, Any], cache: Path | None
) -> ov.CompiledModel:
    """Compile a network for the CPU, or load what an earlier process compiled.

    A file in ``cache`` belongs to one network, version of OpenVINO, processor and set of options. It is replaced as a
    whole, and compiled again when it is damaged; a folder that cannot be written is done without.

    Args:
        read: reads the network; it is not called when a compiled one is there.
        source: names the network's content: another content must have another name.
        options: OpenVINO's, for the CPU.
        cache: folder of all models; None compiles every time.

    Raises:
        RuntimeError: OpenVINO cannot compile it; what ``read`` raises.
    """
    return tracked(_compile(read, source, options, cache))


def _compile(
    read: Callable[[], ov.Model], source: str, options: Mapping[str, Any], cache: Path | None
) -> ov.CompiledModel:
    if cache is None:
        return core().compile_model(read(), "CPU", dict(options))
    key = repr((source, ov.__version__, describe_processor(), sorted(options.items())))
    path = cache / FOLDER / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.blob"
    if (compiled := _load(path, options)) is not None:
        return compiled
    compiled = core().compile_model(read(), "CPU", dict(options))
    with suppress(OSError):
        _store(path, compiled)
    return compiled


def _load(path: Path, options: Mapping[str, Any]) -> ov.CompiledModel | None:
    """Return the compiled network of a file; None when there is none that can be used."""
    try:
        with path.open("rb") as file:  # copy on write: OpenVINO takes writable memory only, and writes none
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        content = np.frombuffer(mapped, np.uint8)
        blob = content[:-CHECKSUM]
        if zlib.crc32(blob.data) != int.from_bytes(content[-CHECKSUM:].tobytes(), "little"):
            raise ValueError("its checksum is wrong")
        compiled = _import(blob, options)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RuntimeError) as error:
        log.info("%s is compiled again: %s", path, str(error).strip().partition("\n")[0])
        return None
    compiled.footage_blob = blob  # OpenVINO may use the weights where they are
    with suppress(OSError):
        os.utime(path)
    return compiled


def _import(blob: NDArray[np.uint8], options: Mapping[str, Any]) -> ov.CompiledModel:
    try:
        return core().import_model(ov.Tensor(blob, shared_memory=True), "CPU", dict(options))
    except TypeError:  # before 2025.3 from bytes only
        return core().import_model(blob.tobytes(), "CPU", dict(options))


def _store(path: Path, compiled: ov.CompiledModel) -> None:
    exported = compiled.export_model()
    blob = exported.getbuffer() if hasattr(exported, "getbuffer") else memoryview(exported)
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob("*.blob"):
        if time.time() - other.stat().st_mtime > UNUSED_SECONDS:
            other.unlink(missing_ok=True)
    with atomic_write(path) as draft, draft.open("wb") as file:
        file.write(blob)
        file.write(zlib.crc32(blob).to_bytes(CHECKSUM, "little"))
