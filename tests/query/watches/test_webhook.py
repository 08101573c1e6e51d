import asyncio
import base64
import hashlib
import hmac
import json
import socket
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.test_utils import TestServer

from footage.indexer.cluster.leases import Leases
from footage.query.watches.egress import open_session
from footage.query.watches.outbox import delivery_counts, discard_deliveries
from footage.query.watches.watch import remove_watch, save_watch
from footage.query.watches.webhook import DELIVERY_LEASE, sign
from tests.query.watches.harness import WatchHarness, hooked, make_records, outbox, receiver, sender, until

__all__ = ["receiver", "sender"]


async def test_a_delivery_is_signed_and_has_its_id(sender, receiver, catalog):
    key = base64.b64encode(b"0123456789abcdef01234567").decode()
    watch = hooked(receiver.url, secret_env="KEY")
    one = await sender(watch, get_secret={"KEY": f"whsec_{key}"}.get)
    await one.enqueue(watch, "f1", '{"a": 1}')
    await until(lambda: one.events == [("gate", "delivered")])
    ((headers, body),) = receiver.got
    assert body == b'{"a": 1}'
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"] == headers["Idempotency-Key"] == "f1"
    stamp = headers["webhook-timestamp"]
    mac = hmac.new(base64.b64decode(key), f"f1.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert abs(int(stamp) - datetime.now(UTC).timestamp()) < 60
    assert await outbox(catalog, watch.id) == {}


def test_the_signature_is_that_of_standard_webhooks():
    """The example of the specification's reference libraries."""
    made = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_receiver_that_fails_and_recovers_gets_all_in_order(sender, receiver):
    watch = hooked(receiver.url)
    one = await sender(watch)
    receiver.failures = 4
    for i in range(5):
        await one.enqueue(watch, f"f{i}", str(i))
    await until(lambda: len(receiver.got) == 5)
    assert [body for _, body in receiver.got] == [b"0", b"1", b"2", b"3", b"4"]
    await until(lambda: one.events.count(("gate", "delivered")) == 5)
    assert one.events.count(("gate", "failed")) == 4


async def test_a_failing_receiver_does_not_delay_another_watch(sender, receiver):
    with socket.socket() as closed:  # a port where nobody listens
        closed.bind(("127.0.0.1", 0))
        broken = hooked(f"http://127.0.0.1:{closed.getsockname()[1]}/hook", "broken")
        fine = hooked(receiver.url, "fine")
        one = await sender(broken, fine)
        await one.enqueue(broken, "b", "b")
        await until(lambda: ("broken", "failed") in one.events)
        await one.enqueue(fine, "f", "f")
        await until(lambda: receiver.got)


async def test_deliveries_of_a_killed_service_are_sent_by_the_next(sender, receiver, catalog):
    watch = hooked(receiver.url)
    first = await sender(watch)
    receiver.failures = 10**9
    for i in range(3):
        await first.enqueue(watch, f"f{i}", str(i))
    await until(lambda: receiver.tried >= 2)
    for stage in first._tasks.values():  # as if killed: nothing more of it runs
        await stage.cancel()
    assert len(await outbox(catalog, watch.id)) == 3
    receiver.failures = 0
    await sender(watch)
    await until(lambda: len(receiver.got) == 3)
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ["f0", "f1", "f2"]


async def test_one_of_several_services_delivers_and_another_takes_over(sender, receiver, catalog):
    watch = hooked(receiver.url)
    leases = [Leases(catalog, name, 30) for name in "ab"]
    one, two = [await sender(watch, leases=held) for held in leases]

    async def poll_until(condition):
        while not condition():
            await asyncio.gather(one.poll(), two.poll())
            await asyncio.sleep(0.01)

    async with asyncio.timeout(20):
        await poll_until(lambda: any(held.is_valid(DELIVERY_LEASE) for held in leases))
        for i in range(10):
            await (one, two)[i % 2].enqueue(watch, f"f{i}", "{}")
        await poll_until(lambda: len(receiver.got) == 10)
        while await outbox(catalog, watch.id):
            await asyncio.sleep(0.01)
        for _ in range(5):
            await poll_until(lambda: True)
            await asyncio.gather(one.poll(), two.poll())
    assert [h["webhook-id"] for h, _ in receiver.got] == [f"f{i}" for i in range(10)]
    assert sorted(map(len, (one.events, two.events))) == [0, 10]
    loser, winner = sorted((one, two), key=lambda c: len(c.events))
    receiver.failures = 1000
    await winner.enqueue(watch, "left", "{}")
    async with asyncio.timeout(20):
        await poll_until(lambda: receiver.tried > 11)
    await winner.stop()
    await (leases[0] if winner is one else leases[1]).release(DELIVERY_LEASE)
    receiver.failures = 0
    async with asyncio.timeout(20):
        while len(receiver.got) < 11:
            await loser.poll()
            await asyncio.sleep(0.01)
    assert receiver.got[-1][0]["webhook-id"] == "left"


async def test_a_delivery_is_dead_after_the_retry_period(sender, receiver, catalog):
    watch = hooked(receiver.url)
    one = await sender(watch, retry_period=timedelta(seconds=0.2))
    receiver.failures = 10**9
    await one.enqueue(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.events)
    assert (await delivery_counts(catalog, [watch.id]))[watch.id] == (0, 1, "the receiver answered 503")
    again = await sender(watch)
    assert again._tasks == {}
    await discard_deliveries(catalog, watch.id)
    assert await outbox(catalog, watch.id) == {}


async def test_dead_deliveries_are_bounded(sender, receiver, catalog):
    watch = hooked(receiver.url)
    one = await sender(watch, retry_period=timedelta(0))
    receiver.failures = 10**9
    for i in range(103):
        await one.enqueue(watch, f"f{i}", "x")
    await until(lambda: one.events.count(("gate", "dead")) == 103)
    assert len(await outbox(catalog, watch.id)) == 100


async def test_deliveries_of_a_removed_watch_are_discarded(sender, receiver, catalog):
    watch = hooked(receiver.url)
    one = await sender(watch)
    receiver.failures = 10**9
    await one.enqueue(watch, "f", "f")
    await until(lambda: receiver.tried)
    one.set_watches({})
    tried = receiver.tried
    await discard_deliveries(catalog, watch.id)
    other = hooked(receiver.url, "other")
    one.set_watches({"other": other})
    receiver.failures = 0
    await one.enqueue(other, "g", "g")
    await until(lambda: receiver.got)
    assert [h["webhook-id"] for h, _ in receiver.got] == ["g"]
    assert receiver.tried <= tried + 2


async def test_redirects_are_not_followed(sender, receiver, catalog):
    watch = hooked(receiver.url.replace("/hook", "/elsewhere"))
    one = await sender(watch, retry_period=timedelta(0))
    await one.enqueue(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.events)
    assert receiver.got == []
    assert "302" in (await delivery_counts(catalog, [watch.id]))[watch.id][2]


async def test_without_its_key_nothing_is_sent(sender, receiver, catalog):
    watch = hooked(receiver.url, secret_env="KEY")
    one = await sender(watch, retry_period=timedelta(0), get_secret={}.get)
    await one.enqueue(watch, "f", "f")
    await until(lambda: ("gate", "dead") in one.events)
    assert receiver.tried == 0
    assert "KEY" in (await delivery_counts(catalog, [watch.id]))[watch.id][2]


async def test_a_receiver_that_never_answers_times_out(sender, catalog):
    hanging = asyncio.Event()

    async def hang(_):
        await hanging.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hang)
    async with TestServer(app) as server:
        watch = hooked(str(server.make_url("/hook")))

        def impatient(private):
            client = open_session(private)
            client._timeout = client._timeout.__class__(total=0.2)
            return client

        one = await sender(watch, retry_period=timedelta(0), open_session=impatient)
        await one.enqueue(watch, "f", "f")
        await until(lambda: ("gate", "dead") in one.events)
        hanging.set()
    assert "in time" in (await delivery_counts(catalog, [watch.id]))[watch.id][2]


async def test_an_alert_reaches_the_receiver(store, catalog, receiver):
    harness = await WatchHarness(store, catalog).open()
    await harness.add_watch(webhook=receiver.url, allow_private=True)
    async with harness.run() as watches:
        await harness.write(watches, await make_records(["red"] * 3 + ["green"] * 3))
        await until(lambda: ("grass", "delivered") in harness.events)
    ((headers, body),) = receiver.got
    (alert,) = harness.received()
    assert json.loads(body) == alert
    assert headers["webhook-id"] == alert["id"]


async def test_a_removed_watch_is_not_delivered_by_a_service_that_did_not_notice_yet(sender, receiver, catalog):
    watch = hooked(receiver.url)
    await save_watch(catalog, watch)
    one = await sender(watch)
    await remove_watch(catalog, watch.name)
    one.set_watches({})
    await one.enqueue(watch, "f", "f")
    await until(lambda: not one._queues or one._queues[watch.id].empty())
    assert receiver.tried == 0
