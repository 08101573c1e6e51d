"""A fake network camera that sends JPEG images over HTTP, without time stamps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from footage.stream.files.frame_at import encode_jpeg
from tests.films import numbered

FPS = 10


@contextmanager
def mjpeg_camera() -> Iterator[str]:
    """Serve while the block runs; yields the URL."""
    gone = Event()
    pictures = [encode_jpeg(picture) for picture in numbered(50)]

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            i = 0
            while not gone.wait(1 / FPS):
                picture = pictures[i % len(pictures)]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + picture + b"\r\n")
                except OSError:
                    return
                i += 1

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/video"
    finally:
        gone.set()
        server.shutdown()
        thread.join()
        server.server_close()
