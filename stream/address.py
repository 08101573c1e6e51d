"""Checks whether a text can be the address of a live source, before anything is connected."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "rtp"})
LISTENING_SCHEMES = frozenset({"srt", "udp", "rtp"})  # these may name a port of this machine alone
KINDS = "write rtsp://..., rtmp://..., http(s)://..., a webcam's number or /dev/video0"
_LOGIN = re.compile(r".*@", re.DOTALL)  # to the last @: a password may hold one, or a slash


def describe_invalid_address(address: str) -> str:
    """What is wrong with the address of a camera, without repeating it; empty where it may be one."""
    if not address.strip():
        return f"the address is empty; {KINDS}"
    if any(character < " " or character == "\x7f" for character in address):
        return "the address holds a line break or another control character"
    if (address.isascii() and address.isdigit()) or address.startswith("/dev/"):
        return ""
    scheme, found, rest = address.partition("://")
    if not found:
        return f"the address names no kind of source; {KINDS}"
    if scheme.lower() not in LIVE_SCHEMES:
        return f"the address begins with a kind that is not read live; {KINDS}"
    return _describe_invalid_host(scheme.lower(), _LOGIN.sub("", rest))


def _describe_invalid_host(scheme: str, place: str) -> str:
    try:
        parts = urlsplit(f"{scheme}://{place}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "the address has an invalid host or port; write rtsp://HOST:PORT/PATH"
    if not host and scheme not in LISTENING_SCHEMES:
        return f"the address names no host; write {scheme}://HOST/PATH"
    return ""
