"""The page in a browser: it draws, answers and names with a trained model, at desktop and phone width."""

from __future__ import annotations

import base64
import io
import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from mmgraph import models
from mmgraph.demo import DemoServer
from mmgraph.demo.about import About, offers
from mmgraph.demo.studio import Studio

pytestmark = pytest.mark.slow
REFERENCE = "zoo:transfusion_long"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VIEWS = [("desktop", 1360, "light"), ("desktop", 1360, "dark"), ("phone", 390, "light"), ("phone", 390, "dark")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server, about = DemoServer(0), About(REFERENCE)
    studio = Studio(models.load(REFERENCE), REFERENCE)
    server.open(studio, about.facts(studio), offers=lambda: offers(about.dataset(), studio))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    assert server.examples_ready.wait(300)  # the first use of the emoji draws and keeps them all
    assert "missing" not in server.examples
    yield server.url
    server.shutdown()
    thread.join()
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert chromium, f"this test needs one of {', '.join(BROWSERS)}"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield launched
        launched.close()


def open_page(browser: Any, url: str, width: int, scheme: str) -> tuple[Any, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    context.set_default_timeout(60_000)
    page, problems = context.new_page(), []
    page.on("console", lambda told: problems.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: failed(request, problems))
    page.on("request", lambda asked: None if asked.url.startswith((url, "blob:")) else problems.append(asked.url))
    page.goto(url)
    page.wait_for_selector("#gallery button")
    return page, problems


def failed(request: Any, problems: list[str]) -> None:
    # Chromium calls a stream that its reader has read to the end aborted, when the connection closes just then
    if request.failure != "net::ERR_ABORTED":
        problems.append(f"{request.url}: {request.failure}")


@pytest.mark.parametrize(("name", "width", "scheme"), VIEWS, ids=[f"{name}-{scheme}" for name, _, scheme in VIEWS])
def test_it_draws_answers_and_names(browser, url, name, width, scheme, tmp_path, request):
    page, problems = open_page(browser, url, width, scheme)
    assert page.text_content("#recipe") == "transfusion_long"
    facts = page.text_content("#facts")
    for fact in ("5,881,904", "11,000 steps", "grouped", "EmojiDataset", "Seed0"):
        assert fact in facts

    page.fill("#caption", "red heart")
    page.fill("#steps", "12")
    page.fill("#count", "2")
    page.keyboard.press("Enter")
    page.wait_for_selector("#film figure")
    assert page.locator("#film figure").count() == 10
    assert re.fullmatch(r"Drawn in \d+\.\d s, 12 steps\.", page.text_content("#draw-status"))
    assert page.text_content("#moment-value") == "step 12 of 12, t = 0.92"
    last = pixels_of(page, "#tiles button:nth-child(1) canvas")
    red, green, blue = last.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))[:3]
    assert red > green + 30, "a red heart is red"
    assert red > blue + 30
    page.locator("#moment").press("Home")
    assert page.text_content("#moment-value") == "step 1 of 12, t = 0.00"
    assert pixels_of(page, "#tiles button:nth-child(1) canvas").tobytes() != last.tobytes()
    page.locator("#moment").press("End")
    page.click("#tiles button:nth-child(2)")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "red-heart-seed-0-2.png"
    download.value.save_as(tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as saved:
        assert saved.size == (504, 504)
        small = saved.convert("RGB").resize((24, 24), Image.Resampling.NEAREST)
        assert small.resize((504, 504), Image.Resampling.NEAREST).tobytes() == saved.convert("RGB").tobytes()

    page.click("#ask-about")
    assert page.text_content("#shown-label") == "Drawn: red heart"
    page.fill("#question", "which colour ?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer small")
    assert page.text_content("#answer").startswith("red")
    assert page.locator("#tokens > li").count() == 2  # the word and the end
    assert page.locator("#tokens > li:first-child ol li").count() == 5

    page.click("#gallery button:nth-child(1)")
    page.click("#name-button")
    page.wait_for_selector("#answer small")
    assert page.text_content("#truth").startswith("In the data: ")

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width, "the page is wider than its window"
    rendering = page.eval_on_selector("#tiles canvas", "(canvas) => getComputedStyle(canvas).imageRendering")
    assert rendering == "pixelated"
    assert too_faint(page) == []
    picture = page.screenshot(full_page=True, path=tmp_path / f"{name}-{scheme}.png")
    with Image.open(io.BytesIO(picture)) as shot:
        assert (sum(shot.convert("RGB").getpixel((3, 3))) < 200) == (scheme == "dark")
    assert problems == []
    page.context.close()


def test_what_goes_wrong_is_said_on_the_page(browser, url, tmp_path):
    page, problems = open_page(browser, url, 1360, "light")
    page.click("#name-button")
    assert "Choose a picture first" in page.text_content("#ask-alert")
    page.fill("#caption", "red heartt")
    page.fill("#steps", "2")
    page.click("#draw-button")
    page.wait_for_selector("#film figure")
    assert "“heartt” is not in its vocabulary" in page.text_content("#draw-note")
    assert "heart" in page.text_content("#draw-note").split("Similar")[1]
    assert page.get_attribute("#draw-note", "role") == "status"
    assert problems == []

    (tmp_path / "no.png").write_bytes(b"no picture")
    page.set_input_files("#upload", tmp_path / "no.png")
    page.wait_for_selector("#ask-alert:not([hidden])")
    page.get_by_text("this file is not a picture").wait_for()
    Image.new("RGB", (90, 40), (0, 160, 0)).save(tmp_path / "green.png")
    page.set_input_files("#upload", tmp_path / "green.png")
    page.get_by_text("Yours: green.png").wait_for()
    seen = pixels_of(page, "#shown")
    assert seen.size == (24, 24)
    assert seen.getpixel((12, 12))[:3] == (0, 160, 0)
    assert seen.getpixel((12, 0))[:3] == (255, 255, 255)
    page.click("#questions button:nth-child(1)")
    page.wait_for_selector("#answer small")
    page.context.close()


def test_stop_and_the_keyboard(browser, url):
    page, problems = open_page(browser, url, 1360, "light")
    page.focus("#caption")
    page.keyboard.type("green apple")
    page.fill("#steps", "200")
    page.fill("#count", "8")
    page.focus("#draw-button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#tiles button")
    assert page.evaluate("() => document.activeElement.id") == "draw-stop"
    page.keyboard.press("Enter")
    page.get_by_text("Stopped.").wait_for()
    assert page.evaluate("() => document.activeElement.id") == "draw-button"
    assert page.evaluate("() => document.querySelectorAll('#film figure').length") > 0
    page.fill("#steps", "1")
    page.click("#draw-button")  # the model is free again
    page.get_by_text("1 steps.").wait_for()
    page.click("#vocabulary summary")
    page.fill("#word-filter", "appl")
    page.fill("#caption", "green")
    page.click("#words button >> text=/^apple$/")
    assert page.input_value("#caption") == "green apple"
    assert problems == []
    page.context.close()


def pixels_of(page: Any, selector: str) -> Image.Image:
    found = page.eval_on_selector(selector, "(canvas) => canvas.toDataURL('image/png').split(',')[1]")
    return Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB")


CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const found = colour(getComputedStyle(element).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.disabled) continue;
    const [a, b] = [light(colour(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${element.tagName} ${ratio.toFixed(2)} ${element.textContent.slice(0, 40)}`);
  }
  return faint;
}"""


def too_faint(page: Any) -> list[str]:
    """Return the texts whose contrast is below 4.5 to 1 (WCAG AA)."""
    return page.evaluate(CONTRAST)
