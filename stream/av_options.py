"""Options for `av.open`: tolerate broken metadata, and keep local files from opening anything else."""

from __future__ import annotations

from typing import Any

import av

LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Keywords that make PyAV ignore tags that are not valid text; from version 19 on it always does."""

MAX_VIDEO_PIXELS = 1 << 26
"""Pixels of a frame of video: twice those of 8K (7680 x 4320); a decoder holds several frames."""

DECODER_OPTIONS = {"max_pixels": str(MAX_VIDEO_PIXELS)}
"""FFmpeg options for decoders: what a header claims is refused before memory is taken for it."""

LOCAL_FILE_ONLY = {"protocol_whitelist": "file", **DECODER_OPTIONS}
"""FFmpeg options for files: a playlist that is named as a video must not open network addresses."""
