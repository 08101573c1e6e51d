"""Tests that a file named as a video makes the process open nothing but files."""

from __future__ import annotations

import re
import socket
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import pytest

from footage.stream.av_options import VERSION
from footage.stream.files.probe import probe_file
from footage.stream.files.unreadable import MediaError
from footage.stream.live.connection import connect
from footage.stream.live.sampler import Sampler

FILES = {
    "playlist": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "master playlist": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1280000\n{url}/low.m3u8\n",
    "playlist with a key": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="
    '"{url}/k"\n#EXTINF:9,\n{url}/a.ts\n',
    "concatenation": "ffconcat version 1.0\nfile '{url}/a.mp4'\n",
    "session description": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "manifest": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{url}/a.mp4</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", ["mp4", "ts", "m3u8"])
def test_a_file_that_names_addresses_opens_none(tmp_path: Path, kind: str, suffix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        port = listener.getsockname()[1]
        path = tmp_path / f"a.{suffix}"
        path.write_text(FILES[kind].format(url=f"http://127.0.0.1:{port}", port=port))
        with pytest.raises(MediaError):
            probe_file(path)
        with pytest.raises(TimeoutError):
            listener.accept()


def black_png(side: int, claimed: int) -> bytes:
    """A gray PNG of ``side`` rows and columns whose header claims another size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", claimed, claimed, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 1) * side), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def huge_film(path: Path, side: int, claimed: int, container: str) -> Path:
    """A film of such pictures, whose container claims that size (``container``: "claims") or a small one ("lies")."""
    picture = black_png(side, claimed)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("png", rate=2)
        stream.width = stream.height = claimed if container == "claims" else 64
        stream.pix_fmt = "gray"
        for i in range(3):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 2)
            packet.is_keyframe = True
            output.mux(packet)
    return path


told_first = pytest.mark.skipif(VERSION < 18, reason="PyAV before 18 probes without options: pip install 'av>=18'")
HUGE = [("claims", 12_000, 12_000), ("claims", 64, 16_000), ("lies", 12_000, 12_000), ("lies", 64, 30_000)]


@told_first
@pytest.mark.parametrize(("container", "side", "claimed"), HUGE)
def test_frames_that_are_too_large_take_no_memory(tmp_path: Path, container: str, side: int, claimed: int) -> None:
    film = huge_film(tmp_path / "huge.avi", side, claimed, container)
    before = start_peak()
    with pytest.raises(MediaError):
        probe_file(film)
    assert memory_mb("VmHWM") - before < 60, "one frame of 12,000 x 12,000 takes 144 MB, gray"


@told_first
def test_a_camera_whose_pictures_are_too_large_takes_no_memory(tmp_path: Path) -> None:
    film = huge_film(tmp_path / "huge.avi", 12_000, 12_000, "lies")
    before = start_peak()
    connection = connect(str(film), "tcp", {}, Event())
    packet = connection.read()
    assert packet is not None
    assert list(Sampler(connection.video, every=0, side=64).add(packet, 0.0)) == []
    connection.close()
    assert memory_mb("VmHWM") - before < 60


def start_peak() -> float:
    """MB of this process in memory now; its peak begins anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mb("VmRSS")


def memory_mb(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1000
