"""What the tests of README and pages share: their fenced blocks, and a fresh place to run them in.

A page is a program. From top to bottom:

- a `bash` block is run, each in its own shell, all in one folder; `{ .fails }` must end in an error;
- a `python` block is run as a script there;
- a block with a title, as in `python title="my_connector.py"`, is written to that file;
- a `text` block with the class `output` is what the block before it printed: each of its lines must be found,
  in that order, where `…` stands for anything;
- `{ .elsewhere data-test="tests/..." }` is run by the test it names, since it never ends or costs minutes;
- any other `text` block is not run: what needs hardware that most readers lack.
"""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import textwrap
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?P<header>[^`\n]*)\n(?P<body>.*?)^ *(?P=ticks) *$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Args:
        language: bash, python, text, ...
        classes: What stands behind a dot in the braces, as in `{ .output }`.
        title: The file that it is, if it is one.
        test: The test that runs it in place of this page's.
        body: Its text.
        line: Where its fence begins.
    """

    language: str
    classes: tuple[str, ...]
    title: str | None
    test: str | None
    body: str
    line: int

    @property
    def runs(self) -> bool:
        """Whether the page's own test runs it."""
        return self.language in ("bash", "python") and self.title is None and "elsewhere" not in self.classes


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text, those within admonitions too."""
    found = []
    for match in _FENCE.finditer(text):
        header = match["header"].strip()
        classes = re.findall(r"(?<=[\s{])\.(\w+)", header)
        word = re.match(r"\w+", header)
        named = {name: re.search(rf'\b{name}="([^"]*)"', header) for name in ("title", "data-test")}
        found.append(
            Block(
                language=word[0] if word else classes.pop(0) if classes else "",
                classes=tuple(classes),
                title=named["title"][1] if named["title"] else None,
                test=named["data-test"][1] if named["data-test"] else None,
                body=textwrap.dedent(match["body"]),
                line=text[: match.start()].count("\n") + 1,
            )
        )
    return found


def commands(found: Sequence[Block]) -> list[str]:
    """Return every shell command of some blocks, continued lines joined, comments dropped."""
    text = "\n".join(block.body for block in found if block.language == "bash")
    lines = (re.split(r"(?:^|\s{2,})#", line)[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line]


def fresh_environment(folder: Path) -> Path:
    """Make a virtual environment that sees this one's packages, so that nothing is downloaded; return its bin.

    What is installed into it stays in it. Its commands are the ones that pages show.
    """
    venv.create(folder, with_pip=False)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    lines = [f"import site; site.addsitedir({outer!r})" for outer in site.getsitepackages()]
    (packages / "outer.pth").write_text("\n".join(lines) + "\n")
    for command in ("mmgraph", "pip", "pytest"):
        script = folder / "bin" / command
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {command} "$@"\n')
        script.chmod(0o755)
    return folder / "bin"


class Runner:
    """Runs a page's blocks in one folder.

    Args:
        folder: Where they run.
        programs: The bin folder of the environment; None: this one's.
        threads: Threads of each program; None: as many as it takes.
    """

    def __init__(self, folder: Path, programs: Path | None = None, *, threads: int | None = 1) -> None:
        self.folder = folder
        first = programs or Path(sys.executable).parent
        self.environment = {
            **os.environ,
            "PATH": f"{first}{os.pathsep}{os.environ['PATH']}",
            "MPLBACKEND": "Agg",
            "NO_COLOR": "1",
            **({} if threads is None else {"OMP_NUM_THREADS": str(threads)}),
            # a package's build tools are here already; a page's reader lets pip fetch them
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_NO_INDEX": "1",
        }
        self.printed = ""

    def run(self, arguments: Sequence[str], *, fails: bool = False, timeout: float = 600) -> str:
        """Run one program and return what it printed, errors after results.

        Raises:
            AssertionError: If it ends otherwise than expected; the message holds what it printed.
        """
        done = subprocess.run(
            arguments,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        self.printed = done.stdout + done.stderr
        ended = f"ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert (done.returncode != 0) == fails, f"{arguments[-1]}\n{ended}"
        assert "Traceback" not in self.printed, f"{arguments[-1]}\n{ended}"
        return self.printed

    def block(self, block: Block) -> None:
        """Do what a block says: write it, run it, or compare it with what the last one printed."""
        if block.title is not None:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.runs:
            python = "import sys; exec(compile(sys.argv[1], 'page', 'exec'), {'__name__': '__main__'})"
            start = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else ["python", "-c", python]
            self.run([*start, block.body], fails="fails" in block.classes)
        elif "output" in block.classes:
            missing = first_missing(block.body, self.printed)
            assert missing is None, f"line {block.line}: the page shows\n  {missing}\nbut printed was\n{self.printed}"


def first_missing(expected: str, printed: str) -> str | None:
    """Return the first line of `expected` that does not follow in `printed`, spaces aside; None if all do."""
    lines = [" ".join(line.split()) for line in printed.replace("\r", "\n").splitlines()]
    position = 0
    for line in filter(None, (" ".join(line.split()) for line in expected.splitlines())):
        pattern = re.compile(".*".join(map(re.escape, re.split(r" ?… ?", line))))
        places = [place for place in range(position, len(lines)) if pattern.fullmatch(lines[place])]
        if line.strip("… ") and not places:
            return line
        position = places[0] + 1 if places else position
    return None
