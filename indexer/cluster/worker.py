"""Decides which of the shared cameras this worker watches, and hands cameras over between workers."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence
from footage.indexer.cluster.leases import Leases, boot_time
from footage.indexer.store.base import Catalog
from footage.indexer.store.errors import StoreError, StoreUnreachable
from footage.indexer.supervisor import Stage, Supervisor

log = logging.getLogger(__name__)

WORKER_KIND = "worker"
"""Kind of the catalog's documents in which workers announce themselves: a heartbeat, and the cameras they watch."""

Hook = Callable[[str], Awaitable[None]]


class CameraHost(Protocol):
    """Watches cameras (``indexer.live.service.LiveService``)."""

    async def add(self, camera: Camera) -> None:
        """Begin to watch a camera."""
        ...

    async def remove(self, name: str, *, lost: bool = False) -> None:
        """Stop watching a camera; unless it is ``lost``, everything of it is written when this returns."""
        ...


@dataclass(slots=True)
class _Peer:
    """Another worker: its last heartbeat, when that came (by our clock), and the cameras it watches."""

    heartbeat: int
    heard: float
    cameras: frozenset[str]


class Worker:
    """Takes a fair share of the listed cameras, each by its lease, and gives back what exceeds it.

    Threads: none; all of it happens in the event loop. ``run`` sends a heartbeat and rebalances four times in a
    lease's length. Rebalancing finds out which workers there are, then gives back one camera too many, or takes free
    cameras up to its share. A share is the number of cameras over the number of workers, rounded up, so the shares
    hold all cameras. A worker is alive while its heartbeat changes; clocks are not compared. ``Leases.run``, a task
    of its own, renews meanwhile and reports a lost lease: then the fence closes at once, and a task ends the reader.

    Two may believe for a moment that a camera is theirs to take; the lease decides. Shares are only about fairness.

    Args:
        list_cameras: the shared cameras by name, as they are now.
        on_added, on_removed, on_lost: awaited with a camera's name before watching it begins; after it has ended,
            while its lease is still held; and after it has ended because its lease was lost.
        supervisor: runs what ends the cameras whose leases were lost.
    """

    def __init__(
        self,
        catalog: Catalog,
        leases: Leases,
        fence: Fence,
        host: CameraHost,
        list_cameras: Callable[[], Awaitable[Mapping[str, Camera]]],
        *,
        on_added: Hook,
        on_removed: Hook,
        on_lost: Hook,
        supervisor: Supervisor,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._catalog, self._leases, self._fence, self._host = catalog, leases, fence, host
        self._list_cameras, self._clock = list_cameras, clock
        self._on_added, self._on_removed, self._on_lost = on_added, on_removed, on_lost
        self._supervisor = supervisor
        self._cameras: dict[str, Camera] = {}
        self._peers: dict[str, _Peer] = {}
        self._ending: dict[str, Stage] = {}
        self._heartbeat = 0
        leases.on_lost = self._lose

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras that this worker watches, in order."""
        return sorted(self._cameras)

    async def run(self) -> None:
        """Send heartbeats and rebalance until cancelled; giving a camera back may hold up rebalancing."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._repeat(self._send_heartbeat))
                group.create_task(self._repeat(self.rebalance))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreError as error:  # a store that is away says so itself, once
                level = logging.DEBUG if isinstance(error, StoreUnreachable) else logging.WARNING
                log.log(level, "the cameras cannot be shared out now: %s", error)
                self._peers.clear()  # silence counts only while the catalog can be read
            await asyncio.sleep(self._leases.seconds / 4)

    async def rebalance(self) -> None:
        """Compare what this worker watches with its share once, and give back or take cameras.

        Raises:
            StoreError: the catalog could not be asked.
        """
        listed = await self._list_cameras()
        await self._update_peers()
        for name in [name for name, camera in self._cameras.items() if listed.get(name) != camera]:
            await self._give_back(name)  # removed, or to be watched with other settings
        share = math.ceil(len(listed) / (1 + len(self._peers)))
        if len(self._cameras) > share:
            await self._give_back(self.cameras[-1])
        await self._take_free(listed, share)

    async def stop(self) -> None:
        """Give every camera up, after ``LiveService.stop`` has ended its watching, and sign off.

        What cannot be written to the catalog in half a lease's time is left to run out.
        """
        try:
            async with asyncio.timeout(self._leases.seconds / 2):
                if self._ending:
                    await asyncio.wait([stage.task for stage in self._ending.values()])
                await asyncio.gather(*(self._on_removed(name) for name in self.cameras))
                await self._catalog.put_document(WORKER_KIND, self._leases.holder, None)
        except (StoreError, TimeoutError):
            log.warning("the other workers could not be notified that this one stops")
        await self._leases.close()
        self._cameras.clear()

    async def _take_free(self, listed: Mapping[str, Camera], share: int) -> None:
        taken = set[str]().union(*(peer.cameras for peer in self._peers.values()))
        free = [name for name in listed if name not in taken | self._cameras.keys() | self._ending.keys()]
        random.shuffle(free)  # workers that start together seldom ask for the same one
        for name in free:
            if len(self._cameras) >= share:
                return
            if await self._leases.acquire(name):
                await self._begin(listed[name])

    async def _begin(self, camera: Camera) -> None:
        self._fence.hold(camera.name)
        self._cameras[camera.name] = camera
        try:
            await self._on_added(camera.name)
            await self._host.add(camera)
        except BaseException:
            self._cameras.pop(camera.name, None)
            self._fence.release(camera.name)
            await self._leases.release(camera.name)
            raise
        log.info("camera '%s' is watched here", camera.name)

    async def _give_back(self, name: str) -> None:
        await self._host.remove(name)
        if name not in self._cameras:  # lost meanwhile
            return
        await self._on_removed(name)
        del self._cameras[name]
        await self._leases.release(name)
        self._fence.release(name)
        log.info("camera '%s' was given back", name)

    def _lose(self, name: str) -> None:
        if self._cameras.pop(name, None) is None:
            return
        self._fence.revoke(name)
        self._ending[name] = self._supervisor.start("worker", partial(self._end, name))

    async def _end(self, name: str) -> None:
        await self._host.remove(name, lost=True)
        await self._on_lost(name)
        del self._ending[name]

    async def _update_peers(self) -> None:
        """Find out which other workers are alive; one without heartbeats is dropped, and its document deleted."""
        await self._send_heartbeat()
        now, documents = self._clock(), await self._catalog.documents(WORKER_KIND)
        documents.pop(self._leases.holder, None)
        for name, document in documents.items():
            known = self._peers.get(name)
            beat, cameras = document.get("beat", 0), document.get("cameras", ())  # one that cannot be read never beats
            if known is None or known.heartbeat != beat:
                self._peers[name] = _Peer(beat, now, frozenset(map(str, cameras)))
        for name, peer in list(self._peers.items()):
            if name not in documents:
                del self._peers[name]
            elif now - peer.heard > self._leases.seconds / 2:
                del self._peers[name]
                await self._catalog.put_document(WORKER_KIND, name, None)

    async def _send_heartbeat(self) -> None:
        self._heartbeat += 1
        document = {"beat": self._heartbeat, "cameras": self.cameras}
        await self._catalog.put_document(WORKER_KIND, self._leases.holder, document)
