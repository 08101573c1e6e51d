"""Serves the review page: its HTML, modules and styles, under a policy that lets nothing else run or load."""

from __future__ import annotations

from aiohttp import hdrs, web

from footage.query.http.page_files import page_file
from footage.query.http.routing import AnyParams, Params, Route

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html",
    )
)
"""Content-Security-Policy of the page (W3C CSP 3, Trusted Types): what is written into it can only ever be text."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


async def page(request: web.Request, _: Params) -> web.StreamResponse:
    """Get the review page."""
    return send_page_file(request, "index.html")


async def page_part(request: web.Request, _: Params) -> web.StreamResponse:
    """Get a module, style or picture of the review page."""
    return send_page_file(request, request.match_info["path"])


async def icon(request: web.Request, _: Params) -> web.StreamResponse:
    """Get the icon of the review page."""
    return send_page_file(request, "icon.svg")


def send_page_file(request: web.Request, name: str) -> web.Response:
    """A file of the page, or 304 if the browser has it already.

    Raises:
        HTTPNotFound: it is not in the list of files.
    """
    file = page_file(name)
    if file is None:
        raise web.HTTPNotFound
    packed = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower()
    etag = file.etag + "-gz" * packed
    if any(tag.value in (etag, "*") for tag in request.if_none_match or ()):
        response = web.Response(status=304, headers=HEADERS)
    else:
        body = file.packed if packed else file.body
        response = web.Response(body=body, content_type=file.content_type, charset="utf-8", headers=HEADERS)
        if packed:
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    response.etag = etag
    return response


ROUTES = (
    Route("GET", "/", page, "text/html", AnyParams, role=None, statuses=(200, 304), head=True),
    Route(
        "GET",
        "/web/{path}",
        page_part,
        "*/*",
        errors=(404,),
        role=None,
        statuses=(200, 304),
        path_pattern=r"[a-z0-9./-]{1,100}",
        head=True,
    ),
    Route("GET", "/favicon.ico", icon, "image/svg+xml", role=None, statuses=(200, 304), head=True),
)
