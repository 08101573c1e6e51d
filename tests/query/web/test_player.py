"""Tests the player: every frame by its own time, re-encoding, speed, scrubbing, other cameras, and more like a part."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import av
import pytest
from playwright.async_api import expect

from tests.films import BITS, encode, numbered, uneven
from tests.query.web.conftest import Service, run_footage
from tests.query.web.playing import hold, opened, until

START = datetime(2026, 5, 4, 10, 0, 0, tzinfo=UTC)
FRAMES = 120
TIMES = uneven(FRAMES, 3)
TIME, BAR, NOTE = ".player-time", ".player-bar", ".player-note"
NUMBER = """(bits) => {
  const video = document.querySelector('.player-video'), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  let number = 0;
  for (let bit = 0; bit < bits; bit++) {
    const x = Math.floor(canvas.width * (bit + 0.5) / bits), y = Math.floor(canvas.height * 3 / 4);
    if (context.getImageData(x, y, 1, 1).data[0] > 127) number += 2 ** bit;
  }
  return number;
}"""


FRAMES_PLAYED = """(wanted) => new Promise((resolve) => {
  const video = document.querySelector('.player-video');
  let count = 0;
  const next = () => { if (++count >= wanted) resolve(count); else video.requestVideoFrameCallback(next); };
  video.requestVideoFrameCallback(next);
})"""
PLAYS_HEVC = """document.createElement('video').canPlayType('video/mp4; codecs="hvc1.1.6.L120.90"') !== ''"""


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A service with cameras whose frames show their number, at the same time: uneven ones, MPEG-4, and H.265."""
    root = tmp_path_factory.mktemp("numbers")
    name = START.strftime("%Y%m%d_%H%M%S") + ".mp4"
    codecs = {"uneven": "libx264", "mpeg4": "mpeg4", "hevc": "libx265"}
    for camera, codec in codecs.items():
        (root / camera).mkdir()
        rate = {"times": TIMES} if camera == "uneven" else {"fps": 10}
        encode(root / camera / name, numbered(FRAMES), gop=30, codec=codec, **rate)
    data = root / "data"
    run_footage("index", *(root / camera for camera in codecs), "--every", "4s", "--data", data)
    running = Service(data)
    yield running
    running.stop()


def span(camera, start=0.0, end=0.0):
    """The id of a moment, in seconds after START."""
    micros = round(START.timestamp() * 1e6) + round(start * 1e6)
    return f"{camera}~{micros}~0~{round((end - start) * 1e6)}"


def instant(seconds):
    """The time for the address, in seconds after START."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def shown(page):
    """The time that the player tells, in seconds after START (in the viewer's zone, two hours ahead of UTC)."""
    text = await page.locator(TIME).inner_text()
    moment = datetime.strptime(f"2026-05-04 {text}", "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return (moment - timedelta(hours=2) - START).total_seconds()


async def test_each_frame_is_shown_at_its_own_time(visit, numbers):
    page = await visit(f"/?open={span('uneven', 3, 6)}&t={instant(4)}", url=numbers.url)
    await opened(page)
    first = await page.evaluate(NUMBER, BITS)
    assert first == max(i for i, time in enumerate(TIMES) if time <= 4.0005)
    number = first
    for key in "...,..,,,.":
        number += 1 if key == "." else -1
        await page.keyboard.press(key)
        await until(lambda wanted=number: shows(page, wanted), f"frame {number}")
        assert await shown(page) == pytest.approx(TIMES[number], abs=0.0011)
    await expect(page.locator(".player-source")).to_have_text("time: file name")


async def shows(page, number):
    return await page.evaluate(NUMBER, BITS) == number and abs(await shown(page) - TIMES[number]) < 0.002


@pytest.mark.parametrize("codec", ["mpeg4", "hevc"])
async def test_what_the_browser_cannot_play_is_re_encoded_and_said(visit, numbers, codec):
    page = await visit(f"/?open={span(codec, 2, 4)}", url=numbers.url)
    await opened(page)
    if codec == "hevc" and await page.evaluate(PLAYS_HEVC):
        await expect(page.locator(NOTE)).to_have_count(0)
    else:
        await expect(page.locator(NOTE)).to_contain_text(f"cannot play {codec.upper()}")

    async def told():
        return await page.evaluate(NUMBER, BITS) == round(await shown(page) * 10)

    await until(told, "the time of the frame that is shown")


async def test_a_clip_for_every_browser_is_h264_and_the_download_keeps_the_original(visit, numbers):
    page = await visit("about:blank", url=numbers.url)
    for play, codec in ((0, "hevc"), (1, "h264")):
        answer = await page.request.get(f"/api/moments/{span('hevc', 2, 4)}/clip.mp4?pad=0&play={play}")
        assert answer.ok
        assert answer.headers["x-footage-transcoded"] == str(bool(play)).lower()
        with av.open(io.BytesIO(await answer.body())) as clip:
            assert clip.streams.video[0].codec_context.name == codec


async def test_speed_is_kept_and_the_bar_seeks_on_release(visit, numbers):
    page = await visit(f"/?open={span('uneven', 1, 2)}", url=numbers.url)
    await opened(page)
    await page.keyboard.press("<")
    await expect(page.locator(".player-speed select")).to_have_value("0.75")
    await page.reload()
    await opened(page)
    await expect(page.locator(".player-speed select")).to_have_value("0.75")
    bar = await page.locator(BAR).bounding_box()
    y = bar["y"] + bar["height"] / 2
    await page.mouse.move(bar["x"] + bar["width"] * 0.5, y)
    await page.mouse.down()
    await page.mouse.move(bar["x"] + bar["width"] * 0.55, y, steps=4)
    picture = page.locator(".player-picture")
    await expect(picture).to_be_visible()
    assert "/api/frames/uneven~" in await picture.get_attribute("src")
    before = await page.evaluate("document.querySelector('.player-video').currentTime")
    await page.mouse.move(bar["x"] + bar["width"] * 0.58, y, steps=4)
    wanted = await shown(page)
    assert await page.evaluate("document.querySelector('.player-video').currentTime") == before
    await page.mouse.up()
    await expect(picture).to_be_hidden()

    async def there():
        return abs(await shown(page) - wanted) < 0.41 and await page.evaluate(
            "!document.querySelector('.player-video').seeking"
        )

    await until(there, f"the frame at {wanted}")


async def test_the_bar_stays_under_the_pointer_while_the_other_cameras_are_looked_up(visit, numbers):
    page = await visit("about:blank", url=numbers.url, allow=("404",))  # of a time without a picture
    release = await hold(page, "**/api/frames?at=*")
    await page.goto(f"/?open={span('uneven', 1, 2)}&t={instant(1)}")
    await opened(page)
    bar, others = page.locator(BAR), page.locator(".player-others")
    before = await bar.bounding_box()
    release()
    await expect(others.get_by_role("button")).to_have_count(2)
    assert await bar.bounding_box() == before
    await page.keyboard.press("Escape")
    await page.goto(f"/?open={span('uneven', 60, 60)}")
    await expect(others).to_contain_text("Nothing of the other cameras is indexed at this time.")
    assert await bar.bounding_box() == before


async def test_a_bar_that_is_dragged_back_is_released_too(visit, numbers):
    page = await visit(f"/?open={span('uneven', 1, 2)}&t={instant(1)}", url=numbers.url)
    await opened(page)
    picture, bar = page.locator(".player-picture"), page.locator(BAR)
    box = await bar.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for value in (None, await drag_back(page, x, y)):
        if value is not None:  # as if that were the time that is shown: browsers tell of no change then
            await bar.evaluate("(bar, value) => { bar.value = value; }", value)
            await drag_back(page, x, y)
        await expect(picture).to_be_visible()
        await page.mouse.up()
        await expect(picture).to_be_hidden()


async def drag_back(page, x, y):
    """Drag from a place and back to it, without letting go; returns the value there."""
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + 50, y)
    await page.mouse.move(x, y)
    return await page.input_value(BAR)


async def test_pictures_of_the_bar_that_failed_are_asked_for_again_by_the_next_drag(visit, numbers):
    page = await visit("about:blank", url=numbers.url, allow=("ERR_",))
    for pattern in ("**/api/frames?camera=*", "**/*side=240"):
        await page.route(pattern, lambda route: route.abort(), times=1)
    await page.goto(f"/?open={span('uneven', 1, 2)}&t={instant(1)}")
    await opened(page)
    bar = await page.locator(BAR).bounding_box()
    x, y = bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + 20, y)
    await expect(page.locator(".player-picture")).to_have_attribute("src", re.compile("side=240"))
    await page.mouse.up()


async def test_a_bar_that_is_dragged_while_it_plays_shows_its_own_picture_and_time(visit, numbers):
    page = await visit(f"/?open={span('uneven', 1, 2)}&t={instant(1)}", url=numbers.url)
    await opened(page)
    await page.locator(".player-speed select").select_option("0.1")
    bar = await page.locator(BAR).bounding_box()
    x, y = bar["x"] + bar["width"] * 0.55, bar["y"] + bar["height"] / 2
    await page.evaluate("document.querySelector('.player-video').play()")
    await page.mouse.move(x - 9, y)
    await page.mouse.down()
    await page.mouse.move(x, y, steps=3)
    picture = page.locator(".player-picture")
    await expect(picture).to_be_visible()
    told = await shown(page)
    assert await page.evaluate(FRAMES_PLAYED, 3) >= 3
    assert (await picture.is_visible(), await shown(page)) == (True, told)
    await page.mouse.up()
    await expect(picture).to_be_hidden()


async def shows_about(page, seconds):
    return abs(await shown(page) - seconds) < 0.5


async def test_another_camera_is_swapped_in_at_the_same_time(visit, numbers):
    page = await visit(f"/?open={span('uneven', 3, 4)}&t={instant(3)}", url=numbers.url)
    await opened(page)
    other = page.locator(".player-others button")
    await expect(other).to_contain_text(["hevc", "mpeg4"])
    await other.nth(1).click()
    await expect(page.locator(".player h2")).to_have_text("mpeg4")
    await until(lambda: shows_about(page, 3), "the same time")
    await page.keyboard.press("3")
    await expect(page.locator(".player h2")).to_have_text("uneven")


async def test_a_box_asks_for_more_like_it(visit):
    moment = f"hall~{round(datetime(2026, 5, 4, 15, 0, 1, tzinfo=UTC).timestamp() * 1e6)}~0~1000000"
    page = await visit(f"/?open={moment}")
    await opened(page)
    await page.keyboard.press("m")
    layer = await page.locator(".player-boxes").bounding_box()
    x, y, wide, tall = (layer[name] for name in ("x", "y", "width", "height"))
    await page.mouse.move(x + wide * 0.3, y + tall * 0.3)
    await page.mouse.down()
    await page.mouse.move(x + wide * 0.7, y + tall * 0.7, steps=3)
    await page.mouse.up()
    await page.get_by_role("button", name="More on all cameras").click()
    await expect(page.locator(".player")).to_have_count(0)
    (term,) = parse_qs(urlsplit(page.url).query)["plus"]
    frame, _, box = term.partition("@")
    assert frame.startswith("hall~")
    corners = [float(one) for one in box.split(",")]
    assert corners[0] < corners[2]
    assert corners[1] < corners[3]
    await expect(page.locator("#results .card .who").first).to_have_text("hall")
