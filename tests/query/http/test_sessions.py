"""Tests the sessions of browsers against a real service: log-in, log-out, expiry, and what other sites cannot do."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from footage.query.http import app, session_routes, sessions, tokens
from footage.query.http.audit import AuditLog
from footage.query.http.metrics import Metrics
from footage.query.http.tokens import add_token, remove_token

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def serve(catalog, tmp_path, monkeypatch):
    """Starts services over one catalog; the sessions and tokens of each are read at each request."""
    monkeypatch.setattr(tokens, "CACHE_SECONDS", -1.0)
    monkeypatch.setattr(sessions, "CACHE_SECONDS", -1.0)
    monkeypatch.setattr(session_routes, "FAILURE_DELAY", 0.0)
    opened = []

    async def start(token=None):
        audit = AuditLog(tmp_path / "audit", timedelta(days=1))
        services = app.AppServices(None, catalog, SimpleNamespace(reviews=None), None, Metrics(), audit=audit)
        client = TestClient(TestServer(app.build_app(services, token)))
        await client.start_server()
        opened.append(client)
        return client

    yield start
    for client in opened:
        await client.close()


async def log_in(client, token, **headers):
    return await client.post("/api/session", json={"token": token}, headers=OWN | headers)


async def test_a_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(serve, catalog):
    secret = await add_token(catalog, "anna", "review", ["yard"])
    client = await serve()
    assert (await client.get("/api/session")).status == 401
    response = await log_in(client, secret)
    body = await response.json()
    assert (body["name"], body["role"], body["cameras"], body["token_needed"]) == ("anna", "review", ["yard"], True)
    left = datetime.fromisoformat(body["expires"]) - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
    (cookie,) = response.cookies.values()
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Strict", "/", "")
    assert cookie["max-age"] == "43200"
    assert not cookie["secure"]
    assert secret not in str(response.headers)
    assert response.headers["Cache-Control"] == "no-store"
    assert await (await client.get("/api/session")).json() == body


async def test_behind_tls_the_cookie_is_bound_to_the_host(serve, catalog):
    secret = await add_token(catalog, "anna", "view")
    client = await serve()
    response = await log_in(client, secret, Origin=f"https://{client.host}:{client.port}")
    (cookie,) = response.cookies.values()
    assert cookie.key.startswith("__Host-")
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
    carried = {"Cookie": f"{cookie.key}={cookie.value}"}
    assert (await (await client.get("/api/session", headers=carried)).json())["name"] == "anna"


async def test_each_log_in_has_a_new_secret_whatever_cookie_came(serve, catalog):
    secret = await add_token(catalog, "anna", "view")
    client = await serve()
    planted = {"Cookie": f"footage-{client.port}=planted"}
    values = {(await log_in(client, secret, **planted)).cookies[f"footage-{client.port}"].value for _ in range(2)}
    assert len(values) == 2
    assert "planted" not in values
    client.session.cookie_jar.clear()
    assert (await client.get("/api/session", headers=planted)).status == 401


async def test_a_wrong_token_lets_nobody_in_and_is_audited_without_it(serve, catalog, tmp_path):
    await add_token(catalog, "anna", "view")
    client = await serve()
    for wrong in ("wrong-token", "wrong-token", "ünïcode"):
        response = await log_in(client, wrong)
        assert (response.status, response.cookies) == (401, {})
    (line,) = next((tmp_path / "audit").iterdir()).read_text().splitlines()  # and they do not fill the disk
    assert '"log_in"' in line
    assert "wrong-token" not in line
    for body in ({}, {"token": ""}, {"token": 5}, {"token": "x" * 1001}, {"token": "x", "more": 1}):
        assert (await client.post("/api/session", json=body, headers=OWN)).status == 400


async def test_log_out_ends_the_session_on_the_server_and_at_other_services(serve, catalog):
    secret = await add_token(catalog, "anna", "view")
    here, there = await serve(), await serve()
    name, value = f"footage-{here.port}", (await log_in(here, secret)).cookies[f"footage-{here.port}"].value
    stolen_here, stolen_there = ({"Cookie": f"footage-{c.port}={value}"} for c in (here, there))
    assert (await there.get("/api/session", headers=stolen_there)).status == 200
    response = await here.delete("/api/session", headers=OWN)
    assert (response.status, response.cookies[name].value, response.cookies[name]["max-age"]) == (200, "", "0")
    assert (await here.get("/api/session", headers=stolen_here)).status == 401
    assert (await there.get("/api/session", headers=stolen_there)).status == 401
    assert (await here.delete("/api/session", headers=OWN)).status == 200  # twice does no harm


async def test_a_session_ends_with_its_token(serve, catalog):
    secret = await add_token(catalog, "anna", "view")
    client = await serve("settings-token")
    await log_in(client, secret)
    assert (await client.get("/api/session")).status == 200
    await remove_token(catalog, "anna")
    assert (await client.get("/api/session")).status == 401
    await add_token(catalog, "anna", "admin")  # another token of the same name is another token
    assert (await client.get("/api/session")).status == 401


async def test_the_token_of_the_settings_logs_in_too_and_its_sessions_end_when_it_changes(serve, catalog):
    before, after = await serve("long-text-one"), await serve("long-text-two")
    value = (await log_in(before, "long-text-one")).cookies[f"footage-{before.port}"].value
    assert (await (await before.get("/api/session")).json())["role"] == "admin"
    assert (await after.get("/api/session", headers={"Cookie": f"footage-{after.port}={value}"})).status == 401
    stored = str(await catalog.documents("session"))
    for known in (value, "long-text-one", tokens.digest("long-text-one"), tokens.digest(value + "long-text-one")):
        assert known not in stored.replace(tokens.digest(value), "")


async def test_a_session_ends_by_itself(serve, catalog, monkeypatch):
    secret = await add_token(catalog, "anna", "view")
    client = await serve()
    monkeypatch.setattr(sessions, "LIFETIME", timedelta(seconds=-1))
    value = (await log_in(client, secret)).cookies[f"footage-{client.port}"].value
    assert (await client.get("/api/session", headers={"Cookie": f"footage-{client.port}={value}"})).status == 401
    monkeypatch.setattr(sessions, "LIFETIME", timedelta(hours=1))
    await log_in(client, secret)
    assert len(await catalog.documents("session")) == 1  # what ended is removed


async def test_too_many_sessions_of_a_token_end_the_oldest(serve, catalog, monkeypatch):
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    secret, other = await add_token(catalog, "anna", "view"), await add_token(catalog, "bert", "view")
    client = await serve()
    await log_in(client, other)
    values = [(await log_in(client, secret)).cookies[f"footage-{client.port}"].value for _ in range(3)]
    client.session.cookie_jar.clear()
    asked = [await client.get("/api/session", headers={"Cookie": f"footage-{client.port}={v}"}) for v in values]
    assert [response.status for response in asked] == [401, 200, 200]
    assert len(await catalog.documents("session")) == 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "own"}, 200),
        ({}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "own"}, 403),
        ({"Origin": "https://other.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_change_with_a_cookie_needs_the_word_of_the_browser_that_it_is_of_the_own_page(
    serve, catalog, headers, status
):
    secret = await add_token(catalog, "anna", "view")
    client = await serve()
    await log_in(client, secret)
    own = f"http://{client.host}:{client.port}"
    headers = {name: own if value == "own" else value for name, value in headers.items()}
    response = await client.delete("/api/session", headers=headers)
    assert response.status == status
    changed = await client.delete("/api/watches/none", headers=headers)  # refused for its role, its site, or as ended
    assert changed.status == (401 if status == 200 else 403)


async def test_a_wrong_bearer_token_is_not_made_good_by_a_cookie(serve, catalog):
    secret = await add_token(catalog, "anna", "view")
    client = await serve()
    await log_in(client, secret)
    assert (await client.get("/api/session", headers={"Authorization": "Bearer wrong"})).status == 401


async def test_without_tokens_nobody_needs_to_log_in(serve):
    client = await serve()
    body = await (await client.get("/api/session")).json()
    assert body == {"name": "local", "role": "admin", "cameras": [], "token_needed": False, "expires": None}
    response = await log_in(client, "anything")
    assert (await response.json(), response.cookies) == (body, {})
    assert (await log_in(client, "anything", Host="rebound.example")).status == 403
