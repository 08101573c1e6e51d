"""Runs ``footage serve`` for an hour with three cameras and searches, and records memory, handles and queues.

Run ``python -m bench.soak --clips FOLDER``, where OpenCV's sample ``vtest.avi`` is. The cameras are real footage
(``bench.soak_cameras``) behind a GStreamer RTSP server; the service is a process of its own with default settings, a
watch, and one camera whose footage expires after a quarter of an hour. Every ten seconds a line is added to
``soak.csv`` in ``--out``. ``--plot`` draws such files.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from bench import feeds, soak_cameras
from bench.soak_plot import plot

from footage.query.client.base_client import FootageError
from footage.query.client.client import Client

EVERY = 10.0  # seconds between readings
WARM_UP = 15.0  # minutes that the slope leaves out
QUESTIONS = ("a person", "a person with a bicycle", "a man in a suit", "a dog", "a red car -snow", "an empty street")
GAUGES = re.compile(r'^(footage_backlog\{queue="(?P<queue>\w+)"\}) (?P<value>\S+)$', re.MULTILINE)
LISTENING = re.compile(r"serving (http://\S+)")


class Service:
    """``footage serve`` as a process, and what the system says of it."""

    def __init__(self, folder: Path, urls: dict[str, str], every: str) -> None:
        config = folder / "footage.yaml"
        config.write_text(_settings(urls, every))
        self._log = (folder / "serve.log").open("w")
        command = [sys.executable, "-m", "footage", "serve", "--port", "0", "--embedder", "lite"]
        options = ["--data", str(folder / "index"), "--config", str(config)]
        self._process = subprocess.Popen([*command, *options], stderr=self._log, stdout=self._log)
        self.url = self._wait_listening(folder / "serve.log")
        self.pid = self._process.pid

    def _wait_listening(self, log: Path) -> str:
        for _ in range(1200):
            if found := LISTENING.search(log.read_text()):
                return found[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"footage serve did not start: {log.read_text()}")

    def read(self) -> dict[str, float]:
        """Memory in MB, handles, threads, and the processor seconds used so far.

        ``anon`` is what the process holds for itself; ``file`` are pages of files that it has mapped, which the system
        may take back at any time: programs, networks, and the index, with which they grow.
        """
        about = Path(f"/proc/{self.pid}")
        rollup, status = _fields(about / "smaps_rollup"), _fields(about / "status")
        memory = {"rss": rollup["Rss"], "pss": rollup["Pss"], "anon": status["RssAnon"], "file": status["RssFile"]}
        memory["peak"] = status["VmHWM"]
        return {
            **{name: round(kb * 1024 / 1e6, 1) for name, kb in memory.items()},
            "handles": len(list((about / "fd").iterdir())),
            "threads": status["Threads"],
            "cpu": feeds.cpu_seconds(self.pid),
        }

    def stop(self) -> int:
        """End it as systemd would; returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._log.close()
        return code


def _settings(urls: dict[str, str], every: str) -> str:
    """Settings with the cameras; the first one's footage expires, so that retention works too."""
    lines = [f"every: {every}", "disk_free: 100MB", "cameras:"]
    for i, (name, url) in enumerate(urls.items()):
        lines.append(f"  - {{name: {name}, url: '{url}'{', keep: 15m' if i == 0 else ''}}}")
    return "\n".join(lines) + "\n"


def _fields(path: Path) -> dict[str, float]:
    """The numbers of a file of ``/proc`` by their names."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {name: float(number[0]) for name, rest in pairs if (number := rest.split()) and number[0].isdigit()}


class Load:
    """Asks the service as a few people would: searches, counts, pictures, clips, the list of cameras."""

    def __init__(self, url: str, pause: float) -> None:
        self.asked = self.failed = 0
        self._url, self._pause = url, pause

    async def run(self) -> None:
        """Ask until cancelled."""
        async with Client(self._url) as client:
            await client.add_watch("people", "a person", threshold=0.5)
            with tempfile.TemporaryDirectory() as folder:
                for number, question in enumerate(cycle(QUESTIONS)):
                    await asyncio.sleep(self._pause)
                    try:
                        await self._ask(client, number, question, Path(folder))
                    except FootageError as error:
                        self.failed += 1
                        print(f"  {question}: {error}", flush=True)

    async def _ask(self, client: Client, number: int, question: str, folder: Path) -> None:
        self.asked += 1
        answer = await client.search(question, **({"only": "count"} if number % 10 == 9 else {}))
        if answer.moments and number % 3 == 0:
            await client.frame(answer.moments[number % len(answer.moments)].best.frame)
        if answer.moments and number % 10 == 5:
            await client.clip(answer.moments[-1].id, folder / "clip.mp4", precise=number % 20 == 5)
        if number % 5 == 0:
            await client.cameras()


async def record(service: Service, out: Path, minutes: float, load: Load) -> list[dict[str, Any]]:
    """Take readings until the time is over; each is in the file as soon as it is taken."""
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    asking = asyncio.create_task(load.run())
    async with aiohttp.ClientSession() as session:
        with (out / "soak.csv").open("w", newline="") as file:
            while (minute := (time.monotonic() - began) / 60) < minutes:
                metrics = await _metrics(session, service.url)
                rows.append({"minute": round(minute, 2), **service.read(), **metrics, "asked": load.asked})
                if len(rows) == 1:
                    writer = csv.DictWriter(file, list(rows[0]), extrasaction="ignore", restval="")
                    writer.writeheader()
                writer.writerow(rows[-1])
                file.flush()
                await asyncio.sleep(EVERY)
    asking.cancel()
    return rows


async def _metrics(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    async with session.get(f"{url}/metrics") as response:
        text = await response.text()
    kept = sum(float(value) for value in re.findall(r"^footage_camera_frames_kept_total\{.*\} (\S+)$", text, re.M))
    dropped = sum(float(v) for v in re.findall(r"^footage_camera_frames_dropped_total\{.*\} (\S+)$", text, re.M))
    return {
        "kept": kept,
        "dropped": dropped,
        **{f"queue_{g['queue']}": float(g["value"]) for g in GAUGES.finditer(text)},
    }


def summarize(rows: list[dict[str, Any]]) -> str:
    """What the readings show, in a few lines."""
    minutes = np.array([float(row["minute"]) for row in rows])
    late = minutes >= min(WARM_UP, minutes[-1] / 3)
    anon = np.array([float(row["anon"]) for row in rows])
    lines = [f"{minutes[-1]:.0f} minutes, {rows[-1]['kept']:.0f} frames indexed, {rows[-1]['asked']} searches"]
    for name in ("rss", "anon", "file", "handles", "threads"):
        values = np.array([float(row[name]) for row in rows])
        slope = float(np.polyfit(minutes[late], values[late], 1)[0]) * 60
        mean = float(values[late].mean())
        lines.append(
            f"  {name:8} first {values[0]:7.1f}, after {minutes[late][0]:.0f} minutes {values[late][0]:7.1f}, "
            f"last {values[-1]:7.1f}, most {values.max():7.1f}; {slope:+.1f} ({100 * slope / mean:+.1f} %) an hour"
        )
    spans = [anon[(minutes >= first) & (minutes < first + 10)] for first in range(0, int(minutes[-1]), 10)]
    means = ", ".join(f"{span.mean():.1f}" for span in spans if len(span))
    lines.append(f"  anon     in the mean of each ten minutes: {means}")
    seconds = 60 * (minutes[-1] - minutes[0])
    lines.append(f"  cores    {(float(rows[-1]['cpu']) - float(rows[0]['cpu'])) / seconds:.2f}")
    return "\n".join(lines)


@contextmanager
def _work_folder(keep: Path | None) -> Iterator[Path]:
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("soak"), help="folder of the readings")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", default="1s", help="time between samples of a camera")
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between searches")
    parser.add_argument("--clips", type=Path, default=Path(), help="folder of vtest.avi")
    parser.add_argument("--work", type=Path, help="keep index and log in this folder")
    parser.add_argument("--plot", type=Path, nargs="+", help="draw these files of readings into --out, and run nothing")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.plot:
        plot({path.parent.name: path for path in args.plot}, args.out / "soak.png")
        return
    with ExitStack() as stack:
        work = stack.enter_context(_work_folder(args.work))
        urls = stack.enter_context(soak_cameras.serve(work, args.clips))
        service = Service(work, urls, args.every)
        try:
            rows = asyncio.run(record(service, args.out, args.minutes, Load(service.url, args.pause)))
        finally:
            code = service.stop()
    print(f"{summarize(rows)}\n  exit code {code}")


if __name__ == "__main__":
    main()
