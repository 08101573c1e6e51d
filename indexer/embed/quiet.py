"""OpenVINO without its telemetry: imported in place of ``import openvino``.

OpenVINO requires the package ``openvino-telemetry``, which reports imports and conversions to its maker unless a person
has opted out, and forks the process to do so. Footage says nothing to anybody: the package is hidden before OpenVINO is
imported, and OpenVINO then uses its own silent stub (``openvino/tools/ovc/telemetry_stub.py``).
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes the import fail at once

import openvino  # noqa: E402

__all__ = ["openvino"]
