"""Tests authentication with a small application behind the real middleware."""

from __future__ import annotations

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
        application = web.Application(middlewares=[auth.authenticate_requests(callers)])
        application.router.add_get("/whoami", whoami)
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


@pytest.mark.parametrize("host", ["localhost", "localhost:8710", "127.0.0.1", "127.0.0.1:8710", "[::1]", "[::1]:8710"])
async def test_without_tokens_requests_addressed_to_localhost_are_answered(serve, host):
    client = await serve(Callers())
    answer = await client.get("/whoami", headers={"Host": host})
    assert answer.status == 200
    assert (await answer.json())["name"] == "local"


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:8710", "192.0.2.1:80", "localhost.example.org", "[::2]", "::1"]
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
