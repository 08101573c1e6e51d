import asyncio
import base64
import hashlib
import hmac
import json
import socket
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer

from footage.indexer.cluster.leases import Leases
from footage.query.watches.egress import Inside, check, check_now, is_public, session
from footage.query.watches.watch import Watch, keep, remove
from footage.query.watches.webhook import DEAD, OUTBOX, TURN, Courier, discard, signature, waiting
from tests.query.watches.standing import Receiver, Yard, shown, until


@pytest.fixture
async def receiver():
    async with Receiver().open() as one:
        yield one


def hooked(url, name="gate", **more):
    return Watch(name=name, text="x", webhook=url, **({"allow_private": True} | more))


@pytest.fixture
async def courier(catalog):
    """Makes and starts couriers; ``told`` is what they told."""
    started = []

    async def start(*watches, **more):
        one = Courier(catalog, lambda *what: one.said.append(what), **({"wait": 0.01, "longest": 0.05} | more))
        one.said = []
        await one.start({w.name: w for w in watches})
        started.append(one)
        return one

    yield start
    for one in started:
        await one.stop()


async def left(catalog):
    return await catalog.get(OUTBOX)


async def test_a_delivery_is_signed_and_names_itself(courier, receiver, catalog):
    key = base64.b64encode(b"0123456789abcdef01234567").decode()
    watch = hooked(receiver.url, secret_env="KEY")
    one = await courier(watch, secret={"KEY": f"whsec_{key}"}.get)
    await one.post(watch, "f1", '{"a": 1}')
    await until(lambda: one.said == [("gate", "delivered")])
    ((headers, body),) = receiver.got
    assert body == b'{"a": 1}'
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"] == headers["Idempotency-Key"] == "f1"
    stamp = headers["webhook-timestamp"]
    mac = hmac.new(base64.b64decode(key), f"f1.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert abs(int(stamp) - datetime.now(UTC).timestamp()) < 60
    assert await left(catalog) == {}


def test_the_signature_is_that_of_standard_webhooks():
    """The example of the specification's reference libraries."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_receiver_that_fails_and_recovers_gets_all_in_order(courier, receiver):
    watch = hooked(receiver.url)
    one = await courier(watch)
    receiver.failures = 4
    for i in range(5):
        await one.post(watch, f"f{i}", str(i))
    await until(lambda: len(receiver.got) == 5)
    assert [body for _, body in receiver.got] == [b"0", b"1", b"2", b"3", b"4"]
    await until(lambda: one.said.count(("gate", "delivered")) == 5)
    assert one.said.count(("gate", "failed")) == 4


async def test_one_watchs_receiver_does_not_hold_up_anothers(courier, receiver):
    with socket.socket() as closed:  # a port where nobody listens
        closed.bind(("127.0.0.1", 0))
        broken = hooked(f"http://127.0.0.1:{closed.getsockname()[1]}/hook", "broken")
        fine = hooked(receiver.url, "fine")
        one = await courier(broken, fine)
        await one.post(broken, "b", "b")
        await until(lambda: ("broken", "failed") in one.said)
        await one.post(fine, "f", "f")
        await until(lambda: receiver.got)


async def test_what_a_killed_service_left_is_delivered_by_the_next(courier, receiver, catalog):
    watch = hooked(receiver.url)
    first = await courier(watch)
    receiver.failures = 10**9
    for i in range(3):
        await first.post(watch, f"f{i}", str(i))
    await until(lambda: receiver.tried >= 2)
    for task in first._tasks.values():  # as if killed: nothing more of it runs
        task.cancel()
    assert len(await left(catalog)) == 3
    receiver.failures = 0
    await courier(watch)
    await until(lambda: len(receiver.got) == 3)
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ["f0", "f1", "f2"]


async def test_of_several_services_one_delivers_and_another_goes_on_when_it_ends(courier, receiver, catalog):
    watch = hooked(receiver.url)
    leases = [Leases(catalog, name, 30) for name in "ab"]
    one, two = [await courier(watch, leases=held) for held in leases]

    async def tended(condition):
        while not condition():
            await asyncio.gather(one.tend(), two.tend())
            await asyncio.sleep(0.01)

    async with asyncio.timeout(20):
        await tended(lambda: any(held.sure(TURN) for held in leases))
        for i in range(10):
            await (one, two)[i % 2].post(watch, f"f{i}", "{}")
        await tended(lambda: len(receiver.got) == 10)
        while await left(catalog):
            await asyncio.sleep(0.01)
        for _ in range(5):
            await tended(lambda: True)
            await asyncio.gather(one.tend(), two.tend())
    assert [h["webhook-id"] for h, _ in receiver.got] == [f"f{i}" for i in range(10)]
    assert sorted(map(len, (one.said, two.said))) == [0, 10]
    loser, winner = sorted((one, two), key=lambda c: len(c.said))
    receiver.failures = 1000
    await winner.post(watch, "left", "{}")
    async with asyncio.timeout(20):
        await tended(lambda: receiver.tried > 11)
    await winner.stop()
    await (leases[0] if winner is one else leases[1]).release(TURN)
    receiver.failures = 0
    async with asyncio.timeout(20):
        while len(receiver.got) < 11:
            await loser.tend()
            await asyncio.sleep(0.01)
    assert receiver.got[-1][0]["webhook-id"] == "left"


async def test_what_cannot_be_delivered_in_time_lies_in_the_list(courier, receiver, catalog):
    watch = hooked(receiver.url)
    one = await courier(watch, keep=timedelta(seconds=0.2))
    receiver.failures = 10**9
    await one.post(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.said)
    assert (await waiting(catalog))[watch.id] == (0, 1, "the receiver answered 503")
    again = await courier(watch)
    assert again._tasks == {}
    await discard(catalog, watch.id)
    assert await left(catalog) == {}


async def test_the_undelivered_are_bounded(courier, receiver, catalog):
    watch = hooked(receiver.url)
    one = await courier(watch, keep=timedelta(0))
    receiver.failures = 10**9
    for i in range(DEAD + 3):
        await one.post(watch, f"f{i}", "x")
    await until(lambda: one.said.count(("gate", "dead")) == DEAD + 3)
    assert len(await left(catalog)) == DEAD


async def test_letters_of_a_removed_watch_go_with_it(courier, receiver, catalog):
    watch = hooked(receiver.url)
    one = await courier(watch)
    receiver.failures = 10**9
    await one.post(watch, "f", "f")
    await until(lambda: receiver.tried)
    one.aim({})
    tried = receiver.tried
    await discard(catalog, watch.id)
    other = hooked(receiver.url, "other")
    one.aim({"other": other})
    receiver.failures = 0
    await one.post(other, "g", "g")
    await until(lambda: receiver.got)
    assert [h["webhook-id"] for h, _ in receiver.got] == ["g"]
    assert receiver.tried <= tried + 2


async def test_redirects_are_not_followed(courier, receiver, catalog):
    watch = hooked(receiver.url.replace("/hook", "/elsewhere"))
    one = await courier(watch, keep=timedelta(0))
    await one.post(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.said)
    assert receiver.got == []
    assert "302" in (await waiting(catalog))[watch.id][2]


async def test_without_its_key_nothing_is_sent(courier, receiver, catalog):
    watch = hooked(receiver.url, secret_env="KEY")
    one = await courier(watch, keep=timedelta(0), secret={}.get)
    await one.post(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.said)
    assert receiver.tried == 0
    assert "KEY" in (await waiting(catalog))[watch.id][2]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_addresses_inside_are_told_from_those_outside(address):
    assert not is_public(address)
    with pytest.raises(Inside):
        check(f"http://[{address.split('%')[0]}]/" if ":" in address else f"http://{address}/")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_public_addresses_are_public(address):
    assert is_public(address)


class Named(AbstractResolver):
    """A name with these addresses, whatever was said when the watch was added."""

    def __init__(self, addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        common = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [common | {"host": a} for a in self.addresses]

    async def close(self):
        pass


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
async def test_a_name_that_leads_inside_is_refused_at_every_delivery(courier, receiver, catalog, addresses):
    port = receiver.url.split(":")[2].split("/")[0]
    watch = hooked(f"http://hook.example:{port}/hook", allow_private=False)
    one = await courier(watch, keep=timedelta(0), open_session=lambda private: session(private, Named(addresses)))
    await one.post(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.said)
    assert receiver.tried == 0
    assert "not a public address" in (await waiting(catalog))[watch.id][2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_refused_without_leave(courier, receiver, host):
    port = receiver.url.split(":")[2].split("/")[0]
    with pytest.raises(Inside, match="allow-private"):
        await check_now(f"http://{host}:{port}/hook")
    watch = hooked(f"http://{host}:{port}/hook", allow_private=False)
    one = await courier(watch, keep=timedelta(0))
    await one.post(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.said)
    assert receiver.tried == 0


async def test_a_receiver_that_never_answers_is_given_up(courier, catalog):
    hanging = asyncio.Event()

    async def hang(_):
        await hanging.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hang)
    async with TestServer(app) as server:
        watch = hooked(str(server.make_url("/hook")))

        def impatient(private):
            client = session(private)
            client._timeout = client._timeout.__class__(total=0.2)
            return client

        one = await courier(watch, keep=timedelta(0), open_session=impatient)
        await one.post(watch, "f", "f")
        await until(lambda: ("gate", "dead") in one.said)
        hanging.set()
    assert "in time" in (await waiting(catalog))[watch.id][2]


async def test_a_firing_reaches_the_receiver(store, catalog, receiver):
    yard = await Yard(store, catalog).open()
    await yard.watch(webhook=receiver.url, allow_private=True)
    async with yard.running() as watches:
        await yard.add(watches, await shown(["red"] * 3 + ["green"] * 3))
        await until(lambda: ("grass", "delivered") in yard.told)
    ((headers, body),) = receiver.got
    (told,) = yard.fired()
    assert json.loads(body) == told
    assert headers["webhook-id"] == told["id"]


async def test_a_removed_watch_is_not_delivered_by_a_service_that_did_not_notice_yet(courier, receiver, catalog):
    watch = hooked(receiver.url)
    await keep(catalog, watch)
    one = await courier(watch)
    await remove(catalog, watch.name)
    one.aim({})
    await one.post(watch, "f", "f")
    await until(lambda: not one._lines or one._lines[watch.id].empty())
    assert receiver.tried == 0
