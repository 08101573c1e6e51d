"""Tests where webhooks may connect to, and what hostile receivers can do."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import ClientConnectorError, web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer

from footage.query.watches import egress
from footage.query.watches.egress import PrivateAddressError, check_ip_address, check_webhook, is_public, open_session
from footage.query.watches.outbox import delivery_counts
from tests.query.http.test_server import memory
from tests.query.watches.harness import Receiver, hooked, receiver, sender, until

__all__ = ["receiver", "sender"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1",
        "198.19.255.255", "198.51.100.1", "203.0.113.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "fec0::1", "ff02::1", "ff0e::1", "100::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "::127.0.0.1", "::10.0.0.1", "::93.184.216.34",
        "2002:7f00:1::", "2002:a00:1::1", "2002:5db8:d822::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:2::1",
        "2001:10::1", "2001:db8::1", "3fff::1", "5f00::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1",
        "64:ff9b:1::1", "64:ff9b:1:a00:0:100::", "64:ff9b:1::93.184.216.34", "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:10.0.0.1", "4000::1", "8000::1", "e000::1",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(address):
    assert not is_public(address)
    with pytest.raises(PrivateAddressError):
        check_ip_address(f"http://[{address.split('%')[0]}]/" if ":" in address else f"http://{address}/")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_public_addresses_are_allowed(address):
    assert is_public(address)


class FixedResolver(AbstractResolver):
    """Resolves any name to these addresses, whatever it resolved to when the watch was added."""

    def __init__(self, addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        common = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [common | {"host": a} for a in self.addresses]

    async def close(self):
        pass


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
async def test_a_name_of_a_private_address_is_refused_at_every_delivery(sender, receiver, catalog, addresses):
    port = receiver.url.split(":")[2].split("/")[0]
    watch = hooked(f"http://hook.example:{port}/hook", allow_private=False)
    one = await sender(
        watch, retry_period=timedelta(0), open_session=lambda private: open_session(private, FixedResolver(addresses))
    )
    await one.enqueue(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.events)
    assert receiver.tried == 0
    assert "not a public address" in (await delivery_counts(catalog, [watch.id]))[watch.id][2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_loopback_is_refused_unless_allowed(sender, receiver, host):
    port = receiver.url.split(":")[2].split("/")[0]
    with pytest.raises(PrivateAddressError, match="allow-private"):
        await check_webhook(f"http://{host}:{port}/hook")
    watch = hooked(f"http://{host}:{port}/hook", allow_private=False)
    one = await sender(watch, retry_period=timedelta(0))
    await one.enqueue(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.events)
    assert receiver.tried == 0


@pytest.mark.parametrize("text", ["", "example.org", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1."])
def test_what_is_not_written_as_resolvers_write_addresses_is_not_public(text):
    assert not is_public(text)


@pytest.mark.parametrize("host", ["127.1", "127.0.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "localhost."])
async def test_other_spellings_of_loopback_are_refused(sender, receiver, catalog, host):
    watch = hooked(f"http://{host}:{receiver.port}/hook", allow_private=False)
    one = await sender(watch, retry_period=timedelta(0))
    await one.enqueue(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.events)
    assert receiver.tried == 0


class Rebinding(AbstractResolver):
    """Resolves a name to the first address once, and to the second one ever after."""

    def __init__(self, first, then):
        self.first, self.then, self.asked = first, then, 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        address = self.first if self.asked == 1 else self.then
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self):
        pass


async def test_a_name_that_resolves_to_a_private_address_later_gains_nothing(sender, catalog, monkeypatch):
    """127.0.0.2 stands for a public address, since nothing may be sent to one."""
    monkeypatch.setattr(egress, "is_public", lambda address: address == "127.0.0.2")
    resolver = Rebinding("127.0.0.2", "127.0.0.1")
    async with Receiver().open("127.0.0.2") as public, Receiver().open("127.0.0.1", public.port) as private:
        watch = hooked(f"http://hook.example:{public.port}/hook", allow_private=False)
        one = await sender(watch, open_session=lambda private: open_session(private, resolver))
        await one.enqueue(watch, "f1", "1")
        await until(lambda: ("gate", "delivered") in one.events)
        assert (resolver.asked, len(public.got)) == (1, 1)  # the address that was checked is the one that was used
        for i in range(5):
            await one.enqueue(watch, f"g{i}", "2")
        await until(lambda: one.events.count(("gate", "failed")) >= 5)
        assert (len(public.got), private.tried) == (1, 0)
    assert "not a public address" in (await delivery_counts(catalog, [watch.id]))[watch.id][2]


async def test_the_address_is_checked_when_the_connection_is_made(receiver):
    """Even where a resolver that nobody checked gives it."""
    session = open_session(False)
    session.connector._resolver = FixedResolver(["127.0.0.1"])
    async with session:
        with pytest.raises(ClientConnectorError) as caught:
            await session.post(f"http://hook.example:{receiver.port}/hook")
    assert isinstance(caught.value.os_error, PrivateAddressError)
    assert receiver.tried == 0


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
async def test_no_redirect_is_followed(sender, receiver, catalog, status):
    async def move(_):
        return web.Response(status=status, headers={"Location": receiver.url})

    app = web.Application()
    app.router.add_post("/hook", move)
    async with TestServer(app) as server:
        watch = hooked(str(server.make_url("/hook")))
        one = await sender(watch, retry_period=timedelta(0))
        await one.enqueue(watch, "f", "f")
        await until(lambda: ("gate", "dead") in one.events)
    assert receiver.tried == 0
    assert str(status) in (await delivery_counts(catalog, [watch.id]))[watch.id][2]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n"
FLOODS = {
    "a body of 10 GB": (HEAD + b"\r\n", bytes(1 << 20), "delivered"),
    "a body of 10 GB, compressed": (HEAD + b"Content-Encoding: gzip\r\n\r\n", bytes(1 << 20), "delivered"),
    "a header without an end": (HEAD + b"X-A: ", b"a" * (1 << 20), "failed"),
    "headers without an end": (HEAD, b"X-A: b\r\n" * 100_000, "failed"),
    "informational answers without an end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000, "failed"),
    "chunks without an end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\na\r\n" * 100_000,
        "delivered",
    ),
    "a slow head": (b"HTTP/1.1 200 OK\r\n", b"", "failed"),
}


@asynccontextmanager
async def flood(begin, block):
    """A receiver that sends ``block`` again and again until the connection ends; yields its port and what it sent."""
    sent, tasks = [], set()

    async def answer(reader, writer):
        tasks.add(asyncio.current_task())
        await reader.read(1 << 16)
        try:
            writer.write(begin)
            while True:
                writer.write(block or b"X")
                await writer.drain()
                sent.append(len(block))
                await asyncio.sleep(0.0 if block else 0.05)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], sent
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("what", FLOODS)
async def test_a_receiver_that_floods_takes_no_memory(sender, what):
    begin, block, outcome = FLOODS[what]

    def impatient(private):
        client = open_session(private)
        client._timeout = client._timeout.__class__(total=1.0 if outcome == "failed" else 10.0)
        return client

    before = memory()
    async with flood(begin, block) as (port, sent):
        watch = hooked(f"http://127.0.0.1:{port}/hook")
        one = await sender(watch, retry_period=timedelta(0), open_session=impatient)
        await one.enqueue(watch, "f", "f")
        await until(lambda: ("gate", outcome) in one.events)
        assert memory() - before < 100
        await one.stop()
    assert sum(sent) < 10 << 30
