"""Imports OpenVINO without its telemetry, and creates the one ``Core`` of the process.

OpenVINO requires the package ``openvino-telemetry``, which reports imports and conversions to its maker unless a person
has opted out, and forks the process to do so. Footage reports nothing: the package is hidden before OpenVINO is
imported, and OpenVINO then uses its own silent stub (``openvino/tools/ovc/telemetry_stub.py``).
"""

from __future__ import annotations

import os
import sys
from functools import cache

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes the import fail at once

import openvino  # noqa: E402


@cache
def core() -> openvino.Core:
    """Return the process's ``Core``: processes that created and dropped many were seen to crash at exit."""
    return openvino.Core()


def describe_processor() -> str:
    """Return a name of this processor: the same on every start, another on another kind of machine."""
    return f"{core().get_property('CPU', 'FULL_DEVICE_NAME')} x{os.cpu_count()}"


__all__ = ["core", "describe_processor", "openvino"]
