"""Reads a connection ahead in its own thread, for inputs that do not survive an interrupted read."""

from __future__ import annotations

from queue import Empty, Full, Queue
from threading import Event, Thread

from footage.stream.live.connection import Connection
from footage.stream.live.contracts import LivePacket

QUEUE_SIZE = 512  # packets; while the queue is full, reading waits
CLOSE_POLL = 0.5  # seconds between checks whether to end


class ReadAhead:
    """Reads a connection ahead; implements ``Connection``.

    Threads: one, made here, reads and in the end closes the inner connection; ``read`` and ``close`` are called from
    the reader's thread and never wait for the network. After ``close`` the inner connection is closed as soon as its
    read returns; nothing waits for that.
    """

    def __init__(self, inner: Connection, wait: float) -> None:
        """Args:
        wait: seconds that ``read`` waits for a packet.
        """
        self._inner, self._wait = inner, wait
        self.video, self.audio = inner.video, inner.audio
        self.normal_silence, self.has_timestamps = inner.normal_silence, inner.has_timestamps
        self._packets: Queue[LivePacket | BaseException] = Queue(QUEUE_SIZE)
        self._closed = Event()
        Thread(target=self._run, name="read-ahead", daemon=True).start()

    def read(self) -> LivePacket | None:
        """The next packet; None when none came for a while.

        Raises:
            ConnectionLostError: the connection or the stream has ended.
        """
        try:
            item = self._packets.get(timeout=self._wait)
        except Empty:
            return None
        if isinstance(item, BaseException):
            raise item
        return item

    def sender_time(self, packet: LivePacket) -> float | None:
        """UTC seconds at which the sender says that a packet was taken."""
        return self._inner.sender_time(packet)

    def close(self) -> None:
        """End the thread as soon as its read returns."""
        self._closed.set()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                packet = self._inner.read()
                if packet is not None:
                    self._put(packet)
        except BaseException as error:  # raised again in the reader's thread, a fault of this program too
            self._put(error)
        self._closed.wait()
        self._inner.close()

    def _put(self, item: LivePacket | BaseException) -> None:
        while not self._closed.is_set():
            try:
                self._packets.put(item, timeout=CLOSE_POLL)
            except Full:
                continue
            return
