"""Tests authentication with a small application behind the real middleware."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from footage.query.http import auth
from footage.query.http.tokens import Identity


class Callers:
    """Stands for the tokens: those given here are valid."""

    def __init__(self, **known: Identity) -> None:
        self.known = known

    async def token_required(self) -> bool:
        return bool(self.known)

    async def authenticate(self, token: str) -> Identity | None:
        return self.known.get(token)


async def whoami(request):
    caller = auth.identity(request)
    auth.require_role(request, request.query.get("role", "view"), "all" in request.query)
    auth.require_visible(request, *request.query.getall("camera", []))
    return web.json_response({"name": caller.name})


async def health(_):
    return web.Response(text="public")


@pytest.fixture
def serve(aiohttp_client):
    async def start(callers):
        application = web.Application(middlewares=[auth.authenticate_requests(callers, {("GET", "/healthz")})])
        application.router.add_route("*", "/whoami", whoami)
        application.router.add_get("/", health)
        application.router.add_get("/healthz", health)
        return await aiohttp_client(application)

    return start


ANNA = Identity("anna", "review", ("yard", "door"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer secret"}, 200),
        ({"Authorization": "bearer secret"}, 200),
        ({"Authorization": "BEARER   secret "}, 200),
        ({"Authorization": "Basic secret"}, 401),
        ({"Authorization": "secret"}, 401),
        ({"Authorization": "Bearer other"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({}, 401),
    ],
)
async def test_a_token_is_taken_from_a_bearer_header_alone(serve, headers, status):
    client = await serve(Callers(secret=ANNA, XXXX=ANNA))
    answer = await client.get("/whoami", headers=headers)
    assert answer.status == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="footage"'
    else:
        assert (await answer.json())["name"] == "anna"


async def test_another_authorization_header_counts_as_an_empty_token(serve):
    client = await serve(Callers(**{"": ANNA, "secret": ANNA}))
    assert (await client.get("/whoami", headers={"Authorization": "Basic secret"})).status == 200
    assert (await client.get("/healthz")).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8710", "127.0.0.1", "127.0.0.1:8710", "[::1]", "[::1]:8710", "LOCALHOST",
        "LocalHost:80", "localhost.", "localhost.:8710", "127.0.0.1.", "127.9.9.9", "[0:0:0:0:0:0:0:1]:8080",
    ],
)  # fmt: skip
async def test_without_tokens_requests_addressed_to_localhost_are_answered(serve, host):
    client = await serve(Callers())
    answer = await client.get("/whoami", headers={"Host": host})
    assert answer.status == 200
    assert (await answer.json())["name"] == "local"


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "example.org:8710",
        "192.0.2.1:80",
        "localhost.example.org",
        "[::2]",
        "0.0.0.0",
        "127.0.0.1.nip.io",
    ],
)
async def test_without_tokens_requests_addressed_to_other_hosts_are_refused(serve, host):
    client = await serve(Callers())
    answer = await client.get("/whoami", headers={"Host": host})
    assert answer.status == 403
    assert answer.reason.startswith("without a token only localhost is served, not ")
    assert (await client.get("/healthz", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("role=view", 200, "OK"),
        ("role=review", 200, "OK"),
        ("role=admin", 403, "this needs a token of role admin; 'anna' has role review"),
        ("all", 403, "this covers all cameras, and 'anna' is limited to some"),
        ("camera=yard&camera=door", 200, "OK"),
        ("camera=yard&camera=gate", 403, "'anna' may not see camera 'gate'"),
    ],
)
async def test_a_refusal_says_what_is_needed(serve, query, status, reason):
    client = await serve(Callers(secret=ANNA))
    answer = await client.get(f"/whoami?{query}", headers={"Authorization": "Bearer secret"})
    assert (answer.status, answer.reason) == (status, reason)


INVALID = [
    "127.0.0.1:80@evil", "localhost@evil", "evil#localhost", "localhost/", "localhost:", "localhost:x",
    "localhost:99999", "::1", "[::1", "::1]", "[::1]x", "[127.0.0.1]", "[localhost]", "local host",
    "localhost,evil", ".", "", "löcalhost",
]  # fmt: skip


@pytest.mark.parametrize("known", [{}, {"secret": ANNA}])
async def test_an_invalid_host_is_refused_with_and_without_tokens(serve, known):
    client = await serve(Callers(**known))
    for host in INVALID:
        headers = {"Host": host, "Authorization": "Bearer secret"}
        assert (await client.get("/whoami", headers=headers)).status == 400, host
    for head in ("1.0", "1.1", "1.1\r\nHost: localhost\r\nHost: evil.example", "1.1\r\nHost: evil\r\nHost: localhost"):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(f"GET /whoami HTTP/{head}\r\n\r\n".encode())
        assert b" 400 " in await reader.readline(), head
        writer.close()


def other_sites():
    """What browsers send when a page of another site does something, by what it does: method, headers."""
    fetched = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"}
    opened = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    origin = {"Origin": "https://evil.example"}
    for site in ("cross-site", "same-site", "a site of the future", "same-origin, cross-site", ""):
        yield f"fetch, {site}", "GET", {"Sec-Fetch-Site": site} | fetched
        yield f"post, {site}", "POST", {"Sec-Fetch-Site": site} | fetched | origin
    yield "link", "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-User": "?1"} | opened
    yield "frame", "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    yield "form", "POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-User": "?1"} | opened | origin
    for dest in ("image", "video", "script", "style", "font", "object", "manifest", "report"):
        yield dest, "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": dest}
    origins = ["https://evil.example", "null", "http://localhost:3000", "http://localhost", "http://127.0.0.1:9@evil"]
    for one in [*origins, "https://localhost.evil.example:8710", "file://", "chrome-extension://abc", "", "http://"]:
        yield f"old browser, {one}", "POST", {"Origin": one}
        yield f"old browser, read, {one}", "GET", {"Origin": one}


@pytest.mark.parametrize("known", [{}, {"secret": ANNA}])
async def test_pages_of_other_sites_are_refused_whatever_they_send(serve, known):
    client = await serve(Callers(**known))
    types = (
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
    )
    count = 0
    for what, method, headers in other_sites():
        for content_type in types if method == "POST" else ("",):
            for path in ("/whoami", "/healthz", "/nothing"):
                sent = (
                    {"Authorization": "Bearer secret"}
                    | headers
                    | ({"Content-Type": content_type} if content_type else {})
                )
                assert (await client.request(method, path, headers=sent)).status == 403, (what, method, path)
                count += 1
    assert count > 200


@pytest.mark.parametrize(
    "headers",
    [
        {},  # a program
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # typed, or a bookmark
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": "https://behind.a.proxy.example"},
        {"Origin": "http://localhost:8710"},
        {"Origin": "HTTP://LOCALHOST.:8710"},
    ],
)
async def test_users_programs_and_own_pages_are_answered(serve, headers):
    client = await serve(Callers())
    for method in ("GET", "POST"):
        response = await client.request(method, "/whoami", headers={"Host": "localhost:8710"} | headers)
        assert response.status == 200


async def test_a_link_may_lead_to_the_first_page_alone(serve):
    client = await serve(Callers())
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await client.get("/", headers=link)).status == 200
    assert (await client.get("/whoami", headers=link)).status == 403
    assert (await client.post("/", headers=link)).status == 403
    assert (await client.get("/", headers=link | {"Sec-Fetch-Dest": "iframe"})).status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_loopback_addresses_are_served_without_a_token(host):
    assert auth.is_loopback(host)
    auth.check_bind(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "LOCALHOST.example.org", ""])
def test_other_addresses_are_served_only_with_a_token(host):
    assert not auth.is_loopback(host)
    auth.check_bind(host, "secret")
    auth.check_bind(host, True)
    for none in (None, "", False):
        with pytest.raises(auth.UnsafeBind, match=r"without a token.*footage token add NAME \(or set FOOTAGE_TOKEN"):
            auth.check_bind(host, none)
