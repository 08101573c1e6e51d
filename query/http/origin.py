"""Refuses requests that pages of other sites make a browser send, and parses the header Host.

A browser sends what any page tells it to, from inside the network and from this machine. It says so in headers that no
page can change: Sec-Fetch-Site (W3C Fetch Metadata) and Origin (RFC 6454). Programs send neither. So what comes from
another site is refused before it costs or changes anything, whatever its method and content type, with a token too:
a proxy may add the token to whatever passes.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from aiohttp import hdrs, web

OWN_SITES = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site for this service's own pages, and for what a user opens, not a page. Not same-site: that is
said of every port of this machine, and of every subdomain."""
NAVIGABLE_PATHS = re.compile(r"/|/s/[\w-]{1,64}", re.ASCII)
"""Paths to which a link on another site may lead, because they cost nothing: the page, and that of a share."""
COOKIE = "footage"
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._~-]+))(?::([0-9]{1,5}))?", re.ASCII)
SAFE_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every response: no other site may embed it, and its content is what it says."""


class Host(NamedTuple):
    """Host and port as a client names them; ``name`` is in lower case, without a final dot and brackets."""

    name: str
    port: int | None

    @property
    def is_loopback(self) -> bool:
        """Whether it names this machine, so that no name server is asked for it."""
        if self.name == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.name).is_loopback
        except ValueError:
            return False


def parse_host(text: str) -> Host | None:
    """Parse ``name``, ``name:port``, ``192.0.2.1:port`` or ``[2001:db8::1]:port`` (RFC 9110, 7.2); None: it is none."""
    match = _HOST.fullmatch(text)
    if not match or int(match[3] or 0) > 65535:
        return None
    port = int(match[3]) if match[3] else None
    if match[2] is not None:
        name = match[2].lower().removesuffix(".")
        return Host(name, port) if name else None
    try:
        return Host(str(ipaddress.IPv6Address(match[1])), port)
    except ValueError:
        return None


def requested_host(request: web.Request) -> Host:
    """The host that a request is addressed to.

    Raises:
        HTTPBadRequest: it is missing, invalid, or given twice.
    """
    given = request.headers.getall(hdrs.HOST, ())
    host = parse_host(given[0]) if len(given) == 1 else None
    if host is None:
        raise web.HTTPBadRequest(reason="the header Host must be given once, as a name or an address with a port")
    return host


def refuse_other_sites(request: web.Request) -> None:
    """Refuse a request that a page of another site, or of another port of this machine, made a browser send.

    Raises:
        HTTPForbidden: says how to go on.
    """
    sites = request.headers.getall("Sec-Fetch-Site", ())
    if sites:
        is_own = OWN_SITES.issuperset(sites)
    else:  # an older browser, or a service that is reached without TLS by another name than localhost
        is_own = all(_is_origin(origin, request) for origin in request.headers.getall(hdrs.ORIGIN, ()))
    if not is_own and not _is_harmless_link(request):
        raise web.HTTPForbidden(reason="a page of another site asked for this; open the address in the browser itself")


def _is_origin(origin: str, request: web.Request) -> bool:
    """Whether an Origin is this service under the name by which it is addressed."""
    scheme, _, rest = origin.partition("://")
    return (
        scheme.lower() in ("http", "https")
        and (host := parse_host(rest)) is not None
        and (host == requested_host(request))
    )


def _is_harmless_link(request: web.Request) -> bool:
    """Whether the browser's window is led to a page that costs nothing."""
    mode, destination = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")
    is_navigation = (mode, destination) == ("navigate", "document")
    return is_navigation and request.method in ("GET", "HEAD") and NAVIGABLE_PATHS.fullmatch(request.path) is not None


def require_own_page(request: web.Request) -> None:
    """Refuse a request that carries a cookie, unless the browser says that a page of this service sent it.

    Programs send tokens, so this may be stricter than ``refuse_other_sites``: it needs the word of the browser.

    Raises:
        HTTPForbidden: the browser says otherwise, or nothing.
    """
    sites = request.headers.getall("Sec-Fetch-Site", ())
    origins = request.headers.getall(hdrs.ORIGIN, ())
    own = set(sites) == {"same-origin"} if sites else bool(origins) and all(_is_origin(o, request) for o in origins)
    if not own:
        raise web.HTTPForbidden(
            reason="a change with a cookie must come from this service's own page; programs send a token"
        )


def is_tls(request: web.Request) -> bool:
    """Whether the browser reaches the service by TLS, which a proxy in front ends."""
    origin = request.headers.get(hdrs.ORIGIN, "")
    return request.secure or origin.lower().startswith("https://") or _COOKIE_TLS in request.cookies


def cookie_name(request: web.Request) -> str:
    """The name of the session's cookie.

    With TLS no other host and no page without TLS can set it (RFC 6265bis, 4.1.3.2). Without TLS it has the port,
    since browsers send cookies to every port of a host.
    """
    if is_tls(request):
        return _COOKIE_TLS
    return f"{COOKIE}-{requested_host(request).port or 80}"


_COOKIE_TLS = f"__Host-{COOKIE}"


async def add_safe_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add ``SAFE_HEADERS`` to a response (a signal of aiohttp); its own stay."""
    for name, value in SAFE_HEADERS.items():
        response.headers.setdefault(name, value)
