"""Finds the service of the cluster that holds footage, and asks it for pictures and clips."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn
from urllib.parse import quote

from aiohttp import ClientResponse

from footage.indexer.cluster.directory import ServiceDirectory
from footage.query.clips.service import FootageUnreachable, NotFound, describe_missing
from footage.query.clips.source import ClipError
from footage.query.peers.connection import PeerConnection, describe_refusal, read_json
from footage.query.peers.signature import ServiceKey
from footage.query.values.ids import FrameId, MomentId
from footage.stream.frame import Media

MAX_KNOWN = 4096
"""Media whose holder is remembered."""
MAX_PROBES = 16
"""Services that are asked at a time whether they hold footage."""
PASSED_STATUSES = frozenset({200, 206, 304, 416})
"""Statuses of answers that are what was asked for; 416 says that a range is not in the file."""


class Peers:
    """Asks the other services of a cluster for footage. Used in one event loop.

    The service that recorded a media is asked first. A file that was indexed can be anywhere: every service is asked
    whether it has it, once. A service that is asked never asks another one in turn.

    Args:
        key: signs the requests; its public part is what ``directory`` announces.
    """

    def __init__(self, directory: ServiceDirectory, key: ServiceKey) -> None:
        self.directory = directory
        self._connection = PeerConnection(directory, key)
        self._known: OrderedDict[str, str] = OrderedDict()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def holds(self, frame: FrameId, media: Media) -> bool:
        """Tell whether another service has the footage of a frame.

        Raises:
            FootageUnreachable: none of those that answer has it, and one that may have it does not answer.
        """
        likely, others = await self._candidates(media)
        here = likely == self.directory.name
        return bool(await self._find(frame, media, others if here else [likely, *others], certain=here))

    @asynccontextmanager
    async def open(
        self,
        frame: FrameId,
        media: Media,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        patience: float = 120.0,
    ) -> AsyncIterator[ClientResponse]:
        """The answer of the service that holds a frame's footage; its body is read inside the block, by parts.

        Args:
            media: the one that has the frame.
            path: of the request, with its query, encoded.
            headers: to send besides the signature.
            patience: seconds in which the answer must begin.

        Raises:
            NotFound: no service has the footage any more.
            ClipError: it cannot be cut; as the service that has it says.
            FootageUnreachable: the service that has it does not answer, or refuses.
        """

        async def ask(name: str) -> ClientResponse:
            return await stack.enter_async_context(self._connection.send(name, method, path, headers, patience))

        likely, others = await self._candidates(media)
        here = likely == self.directory.name
        async with AsyncExitStack() as stack:
            reply = await ask(likely) if likely and not here else None
            if reply is None or reply.status == 404:  # the camera's clock is off, or it is a file that was indexed
                await stack.aclose()
                likely = await self._find(frame, media, others, certain=here)
                if not likely:
                    raise NotFound(describe_missing(media))
                reply = await ask(likely)
            if reply.status not in PASSED_STATUSES:
                await _raise_refusal(reply, likely)
            self._remember(media, likely)
            yield reply

    async def _candidates(self, media: Media) -> tuple[str, list[str]]:
        """The service that likely has a media, maybe this one, or empty; and others that recorded its camera."""
        names = await self.directory.recorders(media)
        if known := self._known.get(media.id):
            names = [known, *names]
        return (names[0], names[1:]) if names else ("", [])

    async def _find(self, frame: FrameId, media: Media, names: Iterable[str], *, certain: bool) -> str:
        """The service that has a frame's footage, of these or else of all; empty where none has it.

        Args:
            certain: this service recorded it, so that a silent one does not matter.
        """
        services = (await self.directory.services()).values()
        everyone = [one.name for one in services if one.address and one.name != self.directory.name]
        first = [name for name in dict.fromkeys(names) if name in everyone]
        silent: list[FootageUnreachable] = []
        for group in (first, [name for name in everyone if name not in first]):
            answers = await self._probe_all(group, frame)
            if found := next((name for name, answer in answers.items() if answer is True), None):
                self._remember(media, found)
                return found
            silent += [answer for answer in answers.values() if isinstance(answer, FootageUnreachable)]
        if silent and not certain:
            raise FootageUnreachable(f"no service that answers has {media.path}; maybe {silent[0]}")
        return ""

    async def _probe_all(self, names: Iterable[str], frame: FrameId) -> dict[str, bool | FootageUnreachable]:
        """Ask services whether they have a frame's footage; the answer of one that is silent is its error."""
        slots = asyncio.Semaphore(MAX_PROBES)

        async def probe(name: str) -> bool | FootageUnreachable:
            try:
                async with slots:
                    return await self._probe(name, frame)
            except FootageUnreachable as error:
                return error

        names = list(names)
        return dict(zip(names, await asyncio.gather(*map(probe, names)), strict=True))

    async def _probe(self, name: str, frame: FrameId) -> bool:
        moment = MomentId(frame.camera, frame.time, frame.time, frame.time, frame.region)
        async with self._connection.send(name, "GET", f"/api/moments/{quote(str(moment), safe='~')}") as reply:
            answer = await read_json(reply)
            if reply.status != 200:
                raise FootageUnreachable(describe_refusal(name, reply.status, answer))
            return answer.get("footage") is True

    def _remember(self, media: Media, name: str) -> None:
        self._known[media.id] = name
        self._known.move_to_end(media.id)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


async def _raise_refusal(reply: ClientResponse, name: str) -> NoReturn:
    answer = await read_json(reply)
    if reply.status == 404:
        raise NotFound(str(answer.get("error", "the footage is gone"))[:500])
    if reply.status == 409:
        raise ClipError(str(answer.get("error", "the clip cannot be cut"))[:500])
    raise FootageUnreachable(describe_refusal(name, reply.status, answer))
