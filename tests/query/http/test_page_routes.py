"""Tests how the review page is served: without a token, under its policy, from a list of files."""

import gzip
import hashlib
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from footage.query.http import page_routes
from footage.query.http.auth import authenticate_requests
from footage.query.http.origin import add_safe_headers
from footage.query.http.page_files import FILES
from footage.query.http.routing import add_routes, public_routes
from footage.query.http.tokens import Identity
from tests.query.http.test_auth import Callers

WEB = Path(__file__).parents[3] / "query" / "web"
PLAIN = {"Accept-Encoding": "identity"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html"
)


@pytest.fixture
async def client():
    guard = authenticate_requests(Callers(secret=Identity("anna")), public_routes(page_routes.ROUTES))
    application = web.Application(middlewares=[guard])
    add_routes(application, page_routes.ROUTES)
    application.on_response_prepare.append(add_safe_headers)
    async with TestClient(TestServer(application), auto_decompress=False) as client:
        yield client


async def test_the_page_is_served_without_a_token_under_its_policy(client):
    for path, kind in (("/", "text/html"), ("/web/index.html", "text/html"), ("/favicon.ico", "image/svg+xml")):
        for method in ("GET", "HEAD"):
            response = await client.request(method, path)
            assert (response.status, response.content_type, response.charset) == (200, kind, "utf-8")
            headers = response.headers
            assert headers["Content-Security-Policy"] == POLICY
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["Cache-Control"] == "no-cache"
            assert bool(await response.read()) == (method == "GET")


async def test_the_address_of_the_page_may_hold_any_state(client):
    response = await client.get("/?q=a+dog&camera=yard&camera=gate&sort=time&of-a-later-version=1", headers=PLAIN)
    assert (response.status, await response.read()) == (200, (WEB / "index.html").read_bytes())


async def test_a_browser_asks_again_and_gets_only_what_changed(client):
    first = await client.get("/", headers={"Accept-Encoding": "identity"})
    packed = await client.get("/", headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(await packed.read()) == await first.read() == (WEB / "index.html").read_bytes()
    assert packed.headers["ETag"] != first.headers["ETag"]
    for headers, same in (({"Accept-Encoding": "identity"}, first), ({"Accept-Encoding": "gzip"}, packed)):
        again = await client.get("/", headers=headers | {"If-None-Match": same.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["Content-Security-Policy"] == POLICY
    assert (await client.get("/", headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize(
    "path",
    ["missing.js", "vendor/SHA256SUMS", "../http/app.py", "%2e%2e/http/app.py", "..%2fhttp%2fapp.py", "vendor", ""],
)
async def test_nothing_else_is_served(client, path):
    assert (await client.get("/web/" + path, headers={"Authorization": "Bearer secret"})).status == 404


def test_every_file_of_the_page_is_listed_once():
    there = {str(path.relative_to(WEB)) for path in WEB.rglob("*") if path.suffix in (".html", ".js", ".css", ".svg")}
    assert sorted(FILES) == sorted(there)


def test_vendored_files_are_unchanged_and_their_licenses_lie_beside_them():
    folder = WEB / "vendor"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = {name.lstrip("*"): digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.js")}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in there.items()}
    assert all(any(folder.rglob("LICENSE*")) for _ in there)
