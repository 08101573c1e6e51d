"""Tests which requests a service takes for those of another service."""

import asyncio

import pytest
from yarl import URL

from footage.indexer import shared_reading
from footage.indexer.cluster import directory
from footage.query.peers.signature import BadSignature, ServiceKey, SignedRequest
from tests.query.peers.nodes import CLIP, MOMENT, PICTURE, message

ADDRESS, NOW = "http://192.0.2.7:8710", 1_790_000_000.0
ASKED = {"name": "b", "address": ADDRESS, "method": "GET", "path": "/api/x?a=1"}


def verify(key, asked, at=NOW, given=ASKED, now=NOW):
    """Sign one request, and verify its header as that of another."""
    header = key.sign(**given, now=at)
    signed = SignedRequest.parse(header.replace(f" {given['name']};", f" {asked['name']};"))
    signed.verify(key.public, asked["address"], asked["method"], asked["path"], now)


def test_a_request_is_verified_for_a_minute_of_difference():
    key = ServiceKey()
    for difference in (-60, 0, 60):
        verify(key, ASKED, at=NOW + difference)
    for difference, word in ((-61, "ago"), (61, "ahead"), (-86400, "ago")):
        with pytest.raises(BadSignature, match=word):
            verify(key, ASKED, at=NOW + difference)


@pytest.mark.parametrize("changed", ["name", "address", "method", "path"])
def test_a_signature_is_for_one_request_only(changed):
    with pytest.raises(BadSignature, match="not signed"):
        verify(ServiceKey(), ASKED | {changed: "http://192.0.2.8:8710" if changed == "address" else "c"})


def test_a_signature_of_another_key_or_an_unusable_key_is_refused():
    signed = SignedRequest.parse(ServiceKey().sign(**ASKED, now=NOW))
    for key in (ServiceKey().public, "", "AAAA", "not base64"):
        with pytest.raises(BadSignature):
            signed.verify(key, ADDRESS, "GET", "/api/x?a=1", NOW)


@pytest.mark.parametrize("text", ["", "b", "b;1", "b;x;AAAA", "b;1;*", "b;1;AAAA;c"])
def test_a_malformed_header_is_refused(text):
    with pytest.raises(BadSignature, match="malformed"):
        SignedRequest.parse(f"Footage-Service {text}")


@pytest.mark.parametrize("header", ["", "Bearer abc", "Basic abc", "Footage abc"])
def test_another_scheme_is_not_a_signature(header):
    assert SignedRequest.parse(header) is None


async def ask(node, path, *, by=None, name="b", method="GET", address=None, signed_path=None, now=None):
    """Send a request that is signed, by default as service 'b' does."""
    key = by or node.cluster.nodes[-1].key
    header = key.sign(name, address or node.directory.address, method, signed_path or path, now)
    return await node.client.request(method, URL(path, encoded=True), headers={"Authorization": header})


async def test_a_service_takes_requests_that_an_announced_service_signed_for_it(cluster):
    holder = await cluster.node("a", holds=True)
    await cluster.node("b")
    for path in (PICTURE, CLIP, f"/api/moments/{MOMENT}"):
        assert (await ask(holder, path)).status == 200
    assert "not signed" in await message(await ask(holder, PICTURE, by=ServiceKey()), 401)
    assert "not signed" in await message(await ask(holder, PICTURE, signed_path=CLIP), 401)
    assert "not signed" in await message(await ask(holder, PICTURE, address="http://192.0.2.1:1"), 401)
    assert "no service of this name" in await message(await ask(holder, PICTURE, name="nobody"), 401)
    assert "NTP" in await message(await ask(holder, PICTURE, now=NOW - 1e8), 401)


@pytest.mark.parametrize("name", ["h%C3%B8f", "h%c3%b8f", "h\u00f8f"])
async def test_a_camera_of_any_name_is_signed_as_it_is_sent(cluster, name):
    holder = await cluster.node("a", holds=True)
    await cluster.node("b")
    sent = str(URL(f"/api/frames/{name}~1777896003000000.jpg", encoded="%" in name))
    assert "no footage of camera 'h\u00f8f'" in await message(await ask(holder, sent), 404)


@pytest.mark.parametrize("path", ["/api/cameras", "/api/search?q=green", "/metrics", "/api/audit", "/api/events"])
async def test_a_signature_opens_no_route_but_those_of_footage(cluster, path):
    holder = await cluster.node("a", holds=True)
    await cluster.node("b")
    assert "footage only" in await message(await ask(holder, path), 403)


async def test_a_signature_changes_nothing(cluster):
    holder = await cluster.node("a", holds=True)
    await cluster.node("b")
    await message(await ask(holder, "/api/export", method="POST"), 403)
    await message(await ask(holder, "/api/watches/x", method="DELETE"), 403)


async def test_a_service_that_was_started_again_is_known_by_its_new_key(cluster):
    holder = await cluster.node("a", holds=True)
    old = await cluster.node("b")
    assert (await ask(holder, PICTURE)).status == 200
    await cluster.node("b")
    assert (await ask(holder, PICTURE)).status == 200
    assert "not signed" in await message(await ask(holder, PICTURE, by=old.key), 401)


async def test_a_service_that_was_announced_after_a_reading_of_just_now_is_known(cluster, monkeypatch):
    holder = await cluster.node("a", holds=True)
    await cluster.node("b")
    monkeypatch.setattr(shared_reading, "MISS_SECONDS", 0.3)
    for _ in range(3):
        await holder.directory.services(max_age=-1.0)
        await cluster.node("b")
        assert (await ask(holder, PICTURE)).status == 200


async def test_forged_requests_read_the_catalog_once_while_they_wait(cluster, monkeypatch):
    holder = await cluster.node("a", holds=True)
    await cluster.node("b")
    monkeypatch.setattr(shared_reading, "MISS_SECONDS", 2.0)
    await holder.directory.services(max_age=-1.0)
    reads, documents = [], holder.directory._catalog.documents

    async def count(kind):
        reads.append(kind)
        return await documents(kind)

    monkeypatch.setattr(holder.directory._catalog, "documents", count)
    monkeypatch.setattr(directory.ServiceDirectory.services, "__defaults__", (60.0,))
    forged = await asyncio.gather(*(ask(holder, PICTURE, by=ServiceKey()) for _ in range(10)))
    assert {reply.status for reply in forged} == {401}
    assert 1 <= len(reads) <= 2
