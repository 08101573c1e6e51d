"""Options for `av.open`: tolerate broken metadata, and keep local files from opening anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import av

VERSION = int(av.__version__.split(".")[0])
"""Of PyAV."""

MAX_VIDEO_PIXELS = 1 << 26
"""Pixels of a frame of video: twice those of 8K (7680 x 4320); a decoder holds several frames."""

DECODER_OPTIONS = {"max_pixels": str(MAX_VIDEO_PIXELS)}
"""FFmpeg options for decoders: what a header claims is refused before memory is taken for it."""

LOCAL_FILE_ONLY = {"protocol_whitelist": "file", **DECODER_OPTIONS}
"""FFmpeg options for files: a playlist that is named as a video must not open network addresses."""


def input_options(options: Mapping[str, str]) -> dict[str, Any]:
    """Return keywords of `av.open` with these options of FFmpeg, which tolerate tags that are not valid text.

    Before version 18 PyAV gives ``options`` to each stream that is known when a file has been opened, and then frees
    as many as were found since, beyond the end of its array: program streams ended the interpreter. What is given as
    ``container_options`` only opens the file.
    """
    lenient = {"metadata_errors": "ignore"} if VERSION < 19 else {}  # from then on it always does
    return {"options" if VERSION >= 18 else "container_options": dict(options), **lenient}
