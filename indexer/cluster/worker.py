"""Cameras that many workers share: which of them this one watches."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence
from footage.indexer.cluster.leases import Leases, clock
from footage.indexer.store.base import Catalog, StoreError

log = logging.getLogger(__name__)

KIND = "worker"
"""Documents of the catalogue in which workers tell one another that they are there, and what they watch."""

Hook = Callable[[str], Awaitable[None]]


class Hands(Protocol):
    """Who watches the cameras (``indexer.live.service.Live``)."""

    async def add(self, camera: Camera) -> None:
        """Begin."""
        ...

    async def drop(self, name: str, *, lost: bool = False) -> None:
        """End; unless it is ``lost``, everything of the camera is written when it returns."""
        ...


@dataclass(slots=True)
class _Other:
    """Another worker: its last sign, when it came (monotonic), and what it watches."""

    beat: int
    heard: float
    cameras: frozenset[str]


class Worker:
    """Takes a fair share of the listed cameras, each by its lease, and gives back what is too much.

    Threads: none; all of it happens in the event loop. ``run`` gives a sign and makes a round four times in a lease's
    length. A round hears who else is there, then gives back one camera too many, or takes cameras that nobody has, up
    to its share. A share is the number of cameras over the number of workers, rounded up, so the shares hold all
    cameras. Another worker is there while its sign changes; clocks are not compared. ``Leases.run``, a task of its
    own, renews meanwhile, and tells of a lost lease: then the fence closes at once, and a task ends the reader.

    Two may believe for a moment that a camera is theirs to take; the lease decides. Shares are only about fairness.

    Args:
        listed: the shared cameras by name, as they are now.
        took, gave, lost: called when a camera's watching has begun, when it has ended and its lease is still held,
            and when its lease was lost.
    """

    def __init__(
        self,
        catalog: Catalog,
        leases: Leases,
        fence: Fence,
        hands: Hands,
        listed: Callable[[], Awaitable[Mapping[str, Camera]]],
        *,
        took: Hook,
        gave: Hook,
        lost: Hook,
        clock: Callable[[], float] = clock,
    ) -> None:
        self._catalog, self._leases, self._fence, self._hands, self._listed = catalog, leases, fence, hands, listed
        self._took, self._gave, self._lost, self._clock = took, gave, lost, clock
        self._mine: dict[str, Camera] = {}
        self._others: dict[str, _Other] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._beat = 0
        leases.lost = self._lose

    @property
    def cameras(self) -> list[str]:
        """What this worker watches, by name."""
        return sorted(self._mine)

    async def run(self) -> None:
        """Give signs and make rounds until cancelled; a round may be held up by a camera that is given back."""
        await asyncio.gather(self._again(self._say), self._again(self.round))

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreError as error:
                log.warning("the cameras cannot be shared out now: %s", error)
                self._others.clear()  # silence counts only while the catalogue can be heard
            await asyncio.sleep(self._leases.seconds / 4)

    async def round(self) -> None:
        """Look once at what there is, and give or take.

        Raises:
            StoreError: the catalogue could not be asked.
        """
        listed = await self._listed()
        await self._hear()
        for name in [name for name, camera in self._mine.items() if listed.get(name) != camera]:
            await self._give(name)  # removed, or to be watched in another way
        share = math.ceil(len(listed) / (1 + len(self._others)))
        if len(self._mine) > share:
            await self._give(self.cameras[-1])
        await self._fill(listed, share)

    async def stop(self) -> None:
        """Give every camera up, after ``Live.stop`` has ended its watching, and say no more.

        What the catalogue cannot be told in half a lease's time is left to time.
        """
        try:
            async with asyncio.timeout(self._leases.seconds / 2):
                await asyncio.gather(*(self._gave(name) for name in self.cameras), *self._ending.values())
                await self._catalog.put(KIND, self._leases.holder, None)
        except (StoreError, TimeoutError):
            log.warning("the other workers could not be told that this one ends")
        await self._leases.close()
        self._mine.clear()

    async def _fill(self, listed: Mapping[str, Camera], share: int) -> None:
        taken = set[str]().union(*(other.cameras for other in self._others.values()))
        free = [name for name in listed if name not in taken | self._mine.keys() | self._ending.keys()]
        random.shuffle(free)  # workers that start together seldom ask for the same one
        for name in free:
            if len(self._mine) >= share:
                return
            if await self._leases.take(name):
                await self._begin(listed[name])

    async def _begin(self, camera: Camera) -> None:
        self._fence.hold(camera.name)
        self._mine[camera.name] = camera
        try:
            await self._took(camera.name)
            await self._hands.add(camera)
        except BaseException:
            self._mine.pop(camera.name, None)
            self._fence.give(camera.name)
            await self._leases.release(camera.name)
            raise
        log.info("camera '%s' is watched here", camera.name)

    async def _give(self, name: str) -> None:
        await self._hands.drop(name)
        if name not in self._mine:  # lost meanwhile
            return
        await self._gave(name)
        del self._mine[name]
        await self._leases.release(name)
        self._fence.give(name)
        log.info("camera '%s' was given back", name)

    def _lose(self, name: str) -> None:
        if self._mine.pop(name, None) is None:
            return
        self._fence.lose(name)
        self._ending[name] = asyncio.create_task(self._end(name))

    async def _end(self, name: str) -> None:
        try:
            await self._hands.drop(name, lost=True)
            await self._lost(name)
        finally:
            del self._ending[name]

    async def _hear(self) -> None:
        """Note who else is there; who has been silent is not, and its document goes."""
        await self._say()
        now, told = self._clock(), await self._catalog.get(KIND)
        told.pop(self._leases.holder, None)
        for name, document in told.items():
            known = self._others.get(name)
            if known is None or known.beat != document["beat"]:
                self._others[name] = _Other(document["beat"], now, frozenset(document["cameras"]))
        for name, other in list(self._others.items()):
            if name not in told:
                del self._others[name]
            elif now - other.heard > self._leases.seconds / 2:
                del self._others[name]
                await self._catalog.put(KIND, name, None)

    async def _say(self) -> None:
        self._beat += 1
        await self._catalog.put(KIND, self._leases.holder, {"beat": self._beat, "cameras": self.cameras})
