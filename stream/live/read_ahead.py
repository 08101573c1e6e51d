"""A connection read ahead in a thread of its own, for inputs that do not survive an interrupted read."""

from __future__ import annotations

from queue import Empty, Full, Queue
from threading import Event, Thread

from footage.stream.live.connection import Feed, LostError
from footage.stream.live.contracts import LivePacket

AHEAD = 512  # packets; then the network has to wait
LOOK = 0.5  # seconds between looks at whether to end


class Pump:
    """Reads a feed ahead; implements ``Feed``.

    Threads: one, made here, reads and in the end closes the inner feed; ``read`` and ``close`` are called from the
    reader's thread and never wait for the network. After ``close`` the inner feed is closed as soon as its read
    returns; nothing waits for that.
    """

    def __init__(self, inner: Feed, wait: float) -> None:
        """Args:
        wait: seconds that ``read`` waits for a packet.
        """
        self._inner, self._wait = inner, wait
        self.video, self.audio = inner.video, inner.audio
        self.patience, self.stamped = inner.patience, inner.stamped
        self._packets: Queue[LivePacket | LostError] = Queue(AHEAD)
        self._closed = Event()
        Thread(target=self._run, name="pump", daemon=True).start()

    def read(self) -> LivePacket | None:
        """The next packet; None when none came for a while.

        Raises:
            LostError: the connection or the stream has ended.
        """
        try:
            item = self._packets.get(timeout=self._wait)
        except Empty:
            return None
        if isinstance(item, LostError):
            raise item
        return item

    def sender(self, packet: LivePacket) -> float | None:
        """UTC seconds at which the sender says that a packet was taken."""
        return self._inner.sender(packet)

    def close(self) -> None:
        """Let the thread end."""
        self._closed.set()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                packet = self._inner.read()
                if packet is not None:
                    self._put(packet)
        except LostError as error:
            self._put(error)
        self._closed.wait()
        self._inner.close()

    def _put(self, item: LivePacket | LostError) -> None:
        while not self._closed.is_set():
            try:
                self._packets.put(item, timeout=LOOK)
            except Full:
                continue
            return
