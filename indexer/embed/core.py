"""OpenVINO's entry, once a process."""

from __future__ import annotations

from functools import cache

from footage.indexer.embed.quiet import openvino as ov


@cache
def core() -> ov.Core:
    """The one ``Core``: a process that made and dropped many was seen to crash at its end."""
    return ov.Core()
