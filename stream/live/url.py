"""Handles URLs of live sources: hides credentials, probes the TCP port, and describes connection errors for users."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from urllib.parse import quote, urlsplit

import av.error

DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}  # as FFmpeg has them
PROBE_TIMEOUT = 1.0  # seconds to wait for the TCP connection
_LOGIN = re.compile(r"(?<=://).*@", re.DOTALL)  # to the last @: a password may hold one, or a slash
_VARIABLE = re.compile(r"\$\{\w+}")
_QUERY = re.compile(r"([/?&;][^=&;/?]*=)[^&;/]*")  # some cameras have theirs in the path


def redact_url(url: str) -> str:
    """The URL without user, password and the values of its query, for logs and answers."""
    return _QUERY.sub(r"\1***", _LOGIN.sub("***@", url))


def contains_credentials(url: str) -> bool:
    """Whether the URL itself holds what ``redact_url`` hides, rather than a ``${NAME}`` in its place.

    A user's name may stand before ``:${NAME}``, and numbers of one or two digits in a query (a channel) are no secret.
    """
    plain = _VARIABLE.sub("", url)
    login = _LOGIN.search(plain)
    if login and not re.fullmatch(r"([^:]+:)?@|:?@", login[0]):
        return True
    values = [found[0].removeprefix(found[1]) for found in _QUERY.finditer(plain)]
    return any(not re.fullmatch(r"\d{0,2}", value) for value in values)


def encode_login(url: str) -> str:
    """The same URL with user and password percent-encoded where they are not: a raw ``#``, ``/`` or ``?`` ends them.

    What is encoded already stays as it is. The login ends at the last @ in front of the path. Where a password holds
    what begins a path, it is told from a host with its port by what follows the colon.
    """
    scheme, found, rest = url.partition("://")
    if not found or "@" not in rest:
        return url
    head = re.split(r"[/?]", rest, maxsplit=1)[0]
    if "@" in head:
        login, place = head.rpartition("@")[0], rest[head.rindex("@") + 1 :]
    elif re.fullmatch(r"[^:@]*:[^:]*", head) and not re.fullmatch(r"[^:]*:\d{0,5}", head):
        login, _, place = rest.rpartition("@")
    else:
        return url
    user, colon, password = login.partition(":")
    return f"{scheme}://{_encode(user)}{colon}{_encode(password)}@{place}"


def _encode(text: str) -> str:
    """Percent-encode what a user or a password may not hold (RFC 3986, 3.2.1), but not what is encoded already."""
    pieces = re.split(r"(%[0-9A-Fa-f]{2})", text)
    return "".join(one if i % 2 else quote(one, safe="!$&'()*+,;=") for i, one in enumerate(pieces))


def host_and_port(url: str) -> tuple[str, int] | None:
    """Host and TCP port that must accept connections; None where there are none, or they are not known."""
    try:
        parts = urlsplit(encode_login(url))
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    if parts.scheme.lower() not in DEFAULT_PORTS or not parts.hostname or port is None:
        return None
    return parts.hostname, port


def probe_port(host: str, port: int) -> bool:
    """Whether a TCP connection to this port is accepted."""
    try:
        with closing(socket.create_connection((host, port), PROBE_TIMEOUT)):
            return True
    except OSError:
        return False


def describe_error(error: BaseException) -> str:
    """Describe an error in opening or reading, and what to do; never FFmpeg's own text, which holds the URL."""
    for kind, text in _DESCRIPTIONS:
        if isinstance(error, kind):
            return text
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"cannot be read ({reason}); check its address, and that it is on"


_DESCRIPTIONS: tuple[tuple[type[BaseException], str], ...] = (
    (av.error.HTTPUnauthorizedError, "refuses this user and password; check them in the address"),
    (av.error.HTTPForbiddenError, "forbids this user to see the stream"),
    (av.error.HTTPNotFoundError, "has no stream of this name; check the path of the address"),
    (av.error.HTTPError, "answers with an error; check the path of the address, and transport tcp or udp"),
    (ConnectionRefusedError, "refuses connections; check that it is on, and the port"),
    (TimeoutError, "does not answer; check that it is on and in this network"),
    (av.error.ExitError, "does not answer; check that it is on and in this network"),
    (av.error.InvalidDataError, "sends something that is not video; check the address"),
    (av.error.ProtocolNotFoundError, "has an address of an unknown kind; use rtsp://, rtmp:// or http(s)://"),
    (ConnectionError, "ended the connection"),
    (EOFError, "ended the stream"),
    (FileNotFoundError, "is not there; check that it is plugged in"),
    (PermissionError, "may not be opened by this user; add the user to the group video"),
)
