"""Sends signed requests to other services of the cluster: bounded, without redirects, with time-outs."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from footage.indexer.cluster.directory import Service, ServiceDirectory
from footage.query.clips.service import FootageUnreachable
from footage.query.peers.signature import ServiceKey
from footage.query.values.times import format_time

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
"""Seconds in which another service must accept a connection."""
SLOT_TIMEOUT = 10.0
"""Seconds for which a request waits while as many as are allowed are under way."""
CHUNK_TIMEOUT = 30.0
"""Seconds in which the next part of an answer must come."""
MAX_REQUESTS = 16
"""Requests to one other service at a time."""
DOWN_SECONDS = 5.0
"""Seconds for which a service that did not answer is not asked again."""
MAX_HEADER = 1 << 20
"""Longest header of an answer in bytes: one lists what a clip of up to an hour shows."""
MAX_JSON = 1 << 16
"""Longest answer in bytes that is read as JSON."""
CHUNK = 1 << 16
"""Bytes that are read at a time."""


class PeerConnection:
    """Sends requests to the other services of a cluster. Used in one event loop.

    Args:
        key: signs the requests; its public part is what ``directory`` announces.
    """

    def __init__(self, directory: ServiceDirectory, key: ServiceKey) -> None:
        self._directory, self._key = directory, key
        self._session: ClientSession | None = None
        self._down: dict[str, float] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    @asynccontextmanager
    async def send(
        self, name: str, method: str, path: str, headers: Mapping[str, str] | None = None, patience: float = 10.0
    ) -> AsyncIterator[ClientResponse]:
        """The answer of one service, whatever its status; leaving the block ends what is still being sent.

        Args:
            path: with its query, encoded.
            headers: to send besides the signature. No header of a caller is passed on by itself.
            patience: seconds in which the answer must begin.

        Raises:
            FootageUnreachable: the service does not answer.
        """
        service = await self._find_service(name)
        slots = self._slots.setdefault(name, asyncio.Semaphore(MAX_REQUESTS))
        try:
            async with asyncio.timeout(SLOT_TIMEOUT):
                await slots.acquire()
        except TimeoutError:
            raise FootageUnreachable(
                f"the footage is with service '{name}', and {MAX_REQUESTS} requests to it are under way"
            ) from None
        try:
            reply = await self._request(service, method, path, headers or {}, patience)
            try:
                yield reply
            finally:
                reply.close()
        finally:
            slots.release()

    async def _request(
        self, service: Service, method: str, path: str, headers: Mapping[str, str], patience: float
    ) -> ClientResponse:
        url = URL(service.address + path, encoded=True)
        await self._directory.announce_once()
        signed = self._key.sign(self._directory.name, service.address, method, url.raw_path_qs)
        given = {**headers, "Authorization": signed, "Accept-Encoding": "identity"}
        try:
            async with asyncio.timeout(patience):
                return await self._open_session().request(method, url, headers=given, allow_redirects=False)
        except (ClientError, TimeoutError, OSError) as error:
            log.warning("service '%s' at %s does not answer: %s", service.name, service.address, error or "time-out")
            self._down[service.name] = time.monotonic()
            latest = (await self._directory.services(max_age=1.0)).get(service.name, service)
            raise _silence_of(latest) from None

    async def _find_service(self, name: str) -> Service:
        """The service of this name, if it is announced and was not found silent just now."""
        service = (await self._directory.services()).get(name)
        if service is None or not service.address:
            raise FootageUnreachable(
                f"the footage is with service '{name}', which is not announced in the cluster: start it again with "
                "footage serve"
            )
        if service.machine != self._directory.machine and _is_loopback(service.address):
            raise FootageUnreachable(
                f"the footage is with service '{name}', which serves its own machine only ({service.address}): set "
                "host there, and advertise where its name does not resolve"
            )
        if time.monotonic() - self._down.get(name, float("-inf")) < DOWN_SECONDS:
            raise _silence_of(service)
        return service

    def _open_session(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=0),  # ``_slots`` bound them
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                max_field_size=MAX_HEADER,
                timeout=ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            )
        return self._session


async def read_chunks(reply: ClientResponse) -> AsyncIterator[bytes]:
    """Yield the body of an answer part by part.

    Raises:
        FootageUnreachable: it ends too early, or the next part does not come in time.
    """
    while True:
        try:
            async with asyncio.timeout(CHUNK_TIMEOUT):
                chunk = await reply.content.read(CHUNK)
        except (ClientError, TimeoutError, OSError) as error:
            raise FootageUnreachable(f"the service that has the footage stopped sending: {error!s:.200}") from None
        if not chunk:
            return
        yield chunk


async def read_body(reply: ClientResponse, limit: int) -> bytes:
    """Read the body of an answer.

    Raises:
        FootageUnreachable: it is longer than ``limit`` bytes, or ends too early.
    """
    body = bytearray()
    async for chunk in read_chunks(reply):
        body += chunk
        if len(body) > limit:
            raise FootageUnreachable(f"the service that has the footage sent more than {limit} bytes")
    return bytes(body)


async def read_json(reply: ClientResponse) -> dict[str, Any]:
    """Read the JSON object of a short answer; an empty one for anything else."""
    try:
        found = json.loads(await read_body(reply, MAX_JSON))
    except (FootageUnreachable, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def describe_refusal(name: str, status: int, answer: Mapping[str, Any]) -> str:
    """Say that a service has answered, but not with what was asked for."""
    said = str(answer.get("error", f"HTTP status {status}"))[:500]
    return f"the footage is with service '{name}', which does not hand it out: {said}"


def _silence_of(service: Service) -> FootageUnreachable:
    ending = f"which does not answer; it was last heard at {format_time(service.heard.replace(microsecond=0))}"
    error = FootageUnreachable(f"the footage is with service '{service.name}', {ending}")
    error.public = f"the footage is with another service, {ending}"
    return error


def _is_loopback(address: str) -> bool:
    host = URL(address).host or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
