"""Tests that a file named as a video makes the process open nothing but files."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from footage.stream.files.probe import probe_file
from footage.stream.files.video_file import MediaError

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
