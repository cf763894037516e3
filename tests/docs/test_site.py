"""The built site: every page is there, every link, anchor and picture resolves, nothing comes from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

from mmgraph import recipes, registry
from mmgraph.docs import places, tutorial

PLACES = places.find(Path(__file__))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


class Page(HTMLParser):
    """The ids of a page, where it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.update(value for name in ("id", "name") if (value := given.get(name)))
        if tag == "a" and (target := given.get("href")):
            self.links.append(target)
        if tag == "link" and (target := given.get("href")) and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(target)
        if tag in ("script", "img", "iframe", "source", "video", "audio") and (target := given.get("src")):
            self.loads.append(target)
        if tag == "img":
            self.pictures.append(given)


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(built.rglob("*.html"))}


def resolved(built: Path, page: Path, target: str) -> Path:
    path = unquote(urlparse(target).path)
    if not path:
        return page
    found = built / path.lstrip("/") if path.startswith("/") else (page.parent / path)
    found = found.resolve()
    return found / "index.html" if found.is_dir() else found


def test_every_source_has_its_page(built: Path, pages: dict[Path, Page]) -> None:
    sources = [path.relative_to(PLACES.docs) for path in PLACES.docs.rglob("*.md")]
    wanted = {
        built / (path.parent if path.stem == "index" else path.with_suffix("")) / "index.html" for path in sources
    }
    assert wanted | {built / "404.html"} == set(pages)
    assert len(pages) >= 100


def test_the_catalogues_are_complete(built: Path, pages: dict[Path, Page]) -> None:
    for path in tutorial.paths(PLACES.sources):
        assert (built / "tutorials" / path.stem / "index.html") in pages
        assert (built / "tutorials" / f"{path.stem}.ipynb").is_file()
    for kind in registry.CLASS_KINDS:
        page = pages[built / "generated" / "plugins" / kind / "index.html"]
        for entry in registry.declared(kind):
            if entry.distribution == "mmgraph":
                assert f"{kind}-{entry.name}".replace("_", "-") in page.ids
    for name in recipes.names():
        if recipes.distribution(name) == "mmgraph":
            assert built / "generated" / "recipes" / name / "index.html" in pages


def test_every_internal_link_and_anchor_resolves(built: Path, pages: dict[Path, Page]) -> None:
    broken, checked = [], 0
    for path, page in pages.items():
        for target in page.links:
            if urlparse(target).scheme or target.startswith("//"):
                continue
            file = resolved(built, path, target)
            anchor = unquote(urldefrag(target).fragment)
            checked += 1
            if not file.is_file():
                broken.append(f"{path.relative_to(built)}: {target}")
            elif anchor and file in pages and anchor not in pages[file].ids and not anchor.startswith("__"):
                broken.append(f"{path.relative_to(built)}: {target} (no such anchor)")
    assert broken == []
    assert checked > 1000


def test_everything_that_is_loaded_comes_from_the_site(built: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for target in page.loads:
            if target.startswith("data:"):
                continue
            if urlparse(target).scheme or target.startswith("//"):
                broken.append(f"{path.relative_to(built)} loads {target} from elsewhere")
            elif not resolved(built, path, target).is_file():
                broken.append(f"{path.relative_to(built)} loads {target}, which is not there")
    for style in built.rglob("*.css"):
        for target in re.findall(r"url\(\s*['\"]?([^'\")]+)", style.read_text(encoding="utf-8")):
            if target.startswith(("data:", "#")):
                continue
            if urlparse(target).scheme or not (style.parent / target.split("?")[0].split("#")[0]).is_file():
                broken.append(f"{style.relative_to(built)} loads {target}")
    assert broken == []


def test_every_picture_says_what_it_shows(built: Path, pages: dict[Path, Page]) -> None:
    silent = [
        f"{path.relative_to(built)}: {picture.get('src')}"
        for path, page in pages.items()
        for picture in page.pictures
        if not (picture.get("alt") or "").strip()
    ]
    assert silent == []


def test_no_page_names_this_machine(built: Path) -> None:
    places_of_this_machine = (str(PLACES.root), str(Path.home()) + "/", "/tmp/mmgraph-")
    named = [
        f"{path.relative_to(built)}: {place}"
        for path in built.rglob("*.html")
        for place in places_of_this_machine
        if place in path.read_text(encoding="utf-8")
    ]
    assert named == []


def test_plain_mkdocs_passes_after_the_build(built: Path, tmp_path: Path) -> None:
    from mmgraph.docs import site

    site.mkdocs(PLACES, "build", "--strict", "--site-dir", str(tmp_path))
    assert len(list(tmp_path.rglob("*.html"))) == len(list(built.rglob("*.html")))
