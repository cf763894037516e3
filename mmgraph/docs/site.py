"""Render, generate, build: the steps of the site in their order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mmgraph.docs import (
    navigation,
    plugin_pages,
    recipe_pages,
    reference_pages,
    rendering,
    result_pages,
    running,
    tutorial,
)
from mmgraph.docs.places import Places
from mmgraph.errors import RunError, UsageError

T = TypeVar("T")

JOBS = min(2, os.cpu_count() or 1)
"""Tutorials that run at a time: each takes one core and about 1 GB."""


def tutorials(
    places: Places, wanted: tuple[str, ...] = (), *, draft: bool = False, jobs: int = JOBS
) -> list[tuple[str, str]]:
    """Render tutorials; each that has changed runs once. Return (title, page) of each.

    Args:
        places: The checkout.
        wanted: Numbers or slugs; all if empty.
        draft: Run nothing: pages show the outputs of the last run, or none.
        jobs: How many run at a time.

    Raises:
        RunError: If some fail; the message holds the first error of each.
    """
    pages, failures = [], []
    chosen = tutorial.paths(places.sources, wanted)
    found_of = running.latest if draft else running.outcome
    for given in _ahead(lambda path: _told(path, places, found_of), chosen, jobs):
        try:
            read, found = given()
            rendering.write(read, found, places)
        except (RunError, UsageError) as error:
            failures.append(str(error))
            continue
        pages.append(listed(read))
        cost = f"{found.cpu_seconds:.0f} s CPU, {found.memory_gb:.1f} GB" if found else "not run"
        print(f"{read.slug}: {cost}", flush=True)
    if not wanted:
        known = {path.stem for path in chosen}
        for page in places.tutorial_pages.glob("[0-9][0-9]_*.md"):
            if page.stem not in known:
                rendering.clear(page.stem, places.tutorial_pages)
    if failures:
        raise RunError("\n\n".join([*failures, f"{len(failures)} of {len(chosen)} tutorials failed."]))
    return pages


def _told(
    path: Path, places: Places, found_of: Callable[[tutorial.Tutorial, Places], running.Outcome | None]
) -> tuple[tutorial.Tutorial, running.Outcome | None]:
    read = tutorial.read(path)
    return read, found_of(read, places)


def _ahead(do: Callable[[Path], T], paths: Sequence[Path], jobs: int) -> Iterator[Callable[[], T]]:
    """Yield in order what returns, or raises, the result of each; so many are done at a time, ahead of the reader."""
    pool = ThreadPoolExecutor(jobs)
    try:
        for future in [pool.submit(do, path) for path in paths]:
            yield future.result
    finally:
        pool.shutdown(cancel_futures=True)


def listed(read: tutorial.Tutorial) -> tuple[str, str]:
    """Return what the navigation says of a tutorial: (title, page)."""
    return f"{read.number} {read.title}", f"tutorials/{read.slug}.md"


def pages(places: Places) -> dict[str, list[tuple[str, str]]]:
    """Generate the catalogues, the reference and the results; return what the navigation lists of them."""
    with tempfile.TemporaryDirectory(prefix="mmgraph-pages-") as name:
        sections = generate(places, Path(name))
        _bring(Path(name), places.generated)
    return sections


def generate(places: Places, folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Write every generated page into `folder`; return what the navigation lists of them."""
    return {
        "plugins": plugin_pages.write(places, folder),
        "recipes": recipe_pages.write(places, folder),
        "reference": reference_pages.write(places, folder),
        "results": result_pages.write(places, folder),
    }


def _bring(made: Path, folder: Path) -> None:
    """Make `folder` equal to `made`, touching only what differs, so that a live server rebuilds only for that."""
    wanted = {path.relative_to(made) for path in made.rglob("*.md")}
    for path in list(folder.rglob("*.md")):
        if path.relative_to(folder) not in wanted:
            path.unlink()
    for name in sorted(wanted):
        target = folder / name
        if not target.is_file() or target.read_bytes() != (made / name).read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / name, target)


def build(places: Places, *, draft: bool = False, out: Path | None = None) -> None:
    """Do everything, and end with the strict build.

    Raises:
        RunError: If a tutorial fails or the strict build finds a fault.
    """
    sections = {"tutorials": tutorials(places, draft=draft), **pages(places)}
    navigation.write(places, sections)
    mkdocs(places, "build", "--strict", *(("--site-dir", str(out.resolve())) if out else ()))
    print(f"site: {out or places.root / 'site'}")


def mkdocs(places: Places, *arguments: str) -> None:
    """Run mkdocs on the checkout.

    Raises:
        RunError: If it fails; it has said why.
    """
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", *arguments]
    # not --quiet: it silences the warnings before --strict can count them
    with subprocess.Popen(command, cwd=places.root, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if arguments[0] == "serve" or not line.startswith("INFO"):
                print(line, end="", file=sys.stderr, flush=True)
    if process.returncode:
        raise RunError(f"mkdocs {' '.join(arguments)} failed; its message stands above.")
