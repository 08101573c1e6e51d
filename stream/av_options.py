"""What `av.open` is told so that a file or feed with a broken title is read all the same."""

from __future__ import annotations

from typing import Any

import av

LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
"""From version 19 on PyAV does that by itself, and does not know the option any more."""
