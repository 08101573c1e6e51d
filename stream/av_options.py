"""Options for `av.open`: tolerate broken metadata, and keep local files from opening anything else."""

from __future__ import annotations

from typing import Any

import av

LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Keywords that make PyAV ignore tags that are not valid text; from version 19 on it always does."""

LOCAL_FILE_ONLY = {"protocol_whitelist": "file"}
"""FFmpeg options for files: a playlist that is named as a video must not open network addresses."""
