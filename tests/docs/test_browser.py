"""The main pages in headless Chromium: desktop and phone, light and dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmgraph.docs import places, tutorial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
TUTORIALS = [f"tutorials/{path.stem}/" for path in tutorial.paths(places.find(Path(__file__)).sources)]
PAGES = [
    "", "start/", "tutorials/", *TUTORIALS, "howto/write-a-plugin/", "concepts/architecture/", "concepts/masks/",
    "choose/tokenizer/", "generated/plugins/heads/", "generated/recipes/transfusion/", "generated/results/",
    "generated/api/mmgraph_heads.flow/", "reference/errors/", "teach/quick-check/", "lab-log/",
]  # fmt: skip
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
HOME_BYTES = 500_000

FAULTS = """
async () => {
  const faults = [];
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const pictures = [...document.images].filter(p => getComputedStyle(p).display !== "none");
  for (const picture of pictures) {
    picture.loading = "eager";
    if (!picture.complete) await new Promise(r => { picture.onload = picture.onerror = r; });
    if (!picture.naturalWidth) faults.push("missing picture: " + picture.src);
    if (!picture.alt.trim()) faults.push("picture without words: " + picture.src);
  }
  if (document.documentElement.scrollWidth > innerWidth)
    faults.push("the page is wider than the window: " + document.documentElement.scrollWidth);

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parse = text => {  // any notation of CSS, through the canvas
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3])).concat(1);
  const backdrop = node => {
    const layers = [];
    for (; node; node = node.parentElement) layers.push(parse(getComputedStyle(node).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const scrolls = node => {
    for (; node && node !== document.body; node = node.parentElement)
      if (getComputedStyle(node).overflowX !== "visible") return true;
    return false;
  };
  const seen = new Set();
  for (const node of document.querySelectorAll(".md-content *")) {
    const own = [...node.childNodes].filter(c => c.nodeType === 3 && c.textContent.trim());
    const box = node.getBoundingClientRect(), style = getComputedStyle(node);
    if (!own.length || !box.width || style.visibility === "hidden" || style.opacity === "0") continue;
    if (node.closest(".headerlink, .md-clipboard, .katex-mathml, svg, nav, button")) continue;
    const words = own[0].textContent.trim().slice(0, 30);
    if (box.right > innerWidth + 1 && !scrolls(node)) faults.push(`overflows by ${box.right - innerWidth}: ${words}`);
    const under = backdrop(node), color = over(parse(style.color), under);
    const [a, b] = [luminance(color), luminance(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const kind = `${style.color} on ${under.map(Math.round)}`;
    if (ratio < (large ? 3 : 4.5) && !seen.has(kind)) {
      seen.add(kind);
      faults.push(`contrast ${ratio.toFixed(2)} (${kind}): <${node.tagName} class="${node.className}"> ${words}`);
    }
  }
  return faults;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_the_main_pages_show_without_fault(browser: Any, served: str, size: str, scheme: str) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    faults: list[str] = []
    page = context.new_page()
    page.set_default_timeout(120_000)
    here = [""]
    page.on("console", lambda m: faults.append(f"{here[0]}: console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"{here[0]}: script: {error}"))
    page.on("request", lambda r: faults.append(f"loads {r.url}") if not r.url.startswith((served, "data:")) else None)
    page.on("response", lambda r: faults.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    for path in PAGES:
        here[0] = path or "home"
        page.goto(served + path, wait_until="load")
        assert page.evaluate("document.body.dataset.mdColorScheme") == ("slate" if scheme == "dark" else "default")
        if page.locator(".arithmatex").count():
            page.wait_for_selector(".arithmatex .katex", state="attached")
        faults += [f"{here[0]}: {fault}" for fault in page.evaluate(FAULTS)]
    context.close()
    assert faults == []


@pytest.mark.parametrize("size", SIZES)
def test_the_home_page_is_light(browser: Any, served: str, size: str) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    received: list[float] = []
    network.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(served, wait_until="networkidle")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(500)
    context.close()
    assert len(received) > 10
    assert sum(received) < HOME_BYTES, f"{sum(received):.0f} bytes"


def test_the_keyboard_reaches_the_content_and_the_search(browser: Any, served: str) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(served + "start/", wait_until="networkidle")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.classList.contains('md-skip')")
    assert page.evaluate("document.querySelector(document.activeElement.getAttribute('href')) !== null")
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className"))
    assert any("md-search__input" in name for name in reached), reached
    page.locator(".md-search__input").focus()
    page.keyboard.type("flow head")
    page.wait_for_selector(".md-search-result__link")
    page.context.close()


def test_a_notebook_can_be_downloaded_from_its_page(browser: Any, served: str) -> None:
    page = browser.new_context(accept_downloads=True).new_page()
    page.goto(served + TUTORIALS[0], wait_until="networkidle")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the notebook").click()
    assert download.value.suggested_filename == TUTORIALS[0].split("/")[1] + ".ipynb"
    page.context.close()
