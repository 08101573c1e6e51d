"""A small RTSP server (RFC 2326, RTP interleaved by 10.12) that may send what a real one cannot, as garbage."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from tests.ports import free_port

MAX_PAYLOAD = 1200  # bytes of an RTP packet
START_CODE = re.compile(rb"\x00\x00\x00?\x01")
METADATA = "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:track3\r\n"
G711 = "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:track2\r\n"

Send = Callable[[int, bytes], None]
"""Sends an RTP packet (or anything) on an interleaved channel: 0 is the video's, 2 the sound's, 4 the metadata's."""


class FakeCamera:
    """Answers every client and then plays: for the n-th connection what ``plays[n]`` says, the last one again.

    Threads: one that accepts, one a client. Both end with the ``with`` block.

    Args:
        plays: each sends until it returns or the client is gone.
        codecs: the video's in the description, for each connection, the last one again.
        more: further tracks of the description.
    """

    def __init__(self, plays: Sequence[Callable[[Send], None]], codecs: Sequence[str] = ("H264",), more: str = ""):
        self.port = free_port()
        self.connections = 0
        self._plays, self._codecs, self._more = plays, codecs, more
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._stopped = threading.Event()
        self._clients: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"rtsp://127.0.0.1:{self.port}/yard"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        for one in (self._listener, *self._clients):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # closing alone wakes no thread that waits for it
            one.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                for method, sequence, line in _requests(client):
                    answer, body = self._answer(method, line)
                    client.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{answer}\r\n{body}".encode())
                    if method == "PLAY":
                        number = self.connections
                        self.connections += 1
                        play = self._plays[min(number, len(self._plays) - 1)]
                        play(lambda channel, data: client.sendall(frame(channel, data)))
                        return
            except OSError:
                return

    def _answer(self, method: str, line: str) -> tuple[str, str]:
        if method == "OPTIONS":
            return "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""
        if method == "DESCRIBE":
            codec = self._codecs[min(self.connections, len(self._codecs) - 1)]
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=yard\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {codec}/90000\r\na=control:track1\r\n{self._more}"
            )
            return f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n", body
        if method == "SETUP":
            channel = 2 * (int(re.search(r"track(\d)", line)[1]) - 1)  # type: ignore[index]
            return f"Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}\r\nSession: 1\r\n", ""
        return "Session: 1\r\n", ""


def _requests(client: socket.socket) -> Iterator[tuple[str, str, str]]:
    """Requests of a client: method, number, and first line."""
    buffer = b""
    while received := client.recv(4096):
        buffer += received
        while b"\r\n\r\n" in buffer:
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            text = head.decode(errors="replace")
            sequence = re.search(r"CSeq: *(\d+)", text, re.I)
            yield text.split(" ", 1)[0], sequence[1] if sequence else "0", text.split("\r\n", 1)[0]


def frame(channel: int, data: bytes) -> bytes:
    """Interleave: ``$``, channel, length; what has no channel is sent as it is."""
    return data if channel < 0 else b"$" + struct.pack(">BH", channel, len(data)) + data


def rtp(payload: bytes, number: int, ticks: int, *, kind: int = 96, last: bool = True) -> bytes:
    """An RTP packet (RFC 3550, 5.1)."""
    return struct.pack(">BBHII", 0x80, kind | (0x80 if last else 0), number & 0xFFFF, ticks & 0xFFFFFFFF, 7) + payload


def video_packets(path: Path) -> list[list[bytes]]:
    """NAL units of each frame of an elementary stream."""
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    return [[unit for unit in START_CODE.split(packet) if unit] for packet in packets]


def play_video(
    path: Path, fps: float = 25.0, *, frames: int | None = None, hevc: bool = False
) -> Callable[[Send], None]:
    """Plays an elementary stream in a loop, in real time (RFC 6184, RFC 7798: single units and fragments)."""
    units, numbers = video_packets(path), count()

    def play(send: Send) -> None:
        began = time.monotonic()
        for index in islice(count(), frames):
            for packet in _payloads(units[index % len(units)], hevc):
                send(0, rtp(packet[0], next(numbers), round(index * 90_000 / fps), last=packet[1]))
            time.sleep(max(0.0, began + (index + 1) / fps - time.monotonic()))

    return play


def _payloads(units: Sequence[bytes], hevc: bool) -> Iterator[tuple[bytes, bool]]:
    for i, unit in enumerate(units):
        final = i == len(units) - 1
        if len(unit) <= MAX_PAYLOAD:
            yield unit, final
            continue
        head = 2 if hevc else 1
        kind = (unit[0] >> 1 & 0x3F) if hevc else (unit[0] & 0x1F)
        first = bytes([unit[0] & 0x81 | 49 << 1, unit[1]]) if hevc else bytes([unit[0] & 0xE0 | 28])
        parts = [unit[at : at + MAX_PAYLOAD] for at in range(head, len(unit), MAX_PAYLOAD)]
        for j, part in enumerate(parts):
            ends = (0x80 if j == 0 else 0) | (0x40 if j == len(parts) - 1 else 0)
            yield first + bytes([ends | kind]) + part, final and j == len(parts) - 1


@contextmanager
def fake_camera(
    *plays: Callable[[Send], None], codecs: Sequence[str] = ("H264",), more: str = ""
) -> Iterator[FakeCamera]:
    """A camera while the block runs."""
    with FakeCamera(plays, codecs, more) as camera:
        yield camera
