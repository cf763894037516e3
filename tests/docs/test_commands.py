"""The shell commands of the concept, choice, reference and teaching pages, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path for folder in ("concepts", "choose", "reference", "teach") for path in (ROOT / "docs" / folder).glob("*.md")
)
BLOCK = re.compile(r"^( *)```bash\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return every command once, in the order of the pages."""
    lines = (
        line
        for page in PAGES
        for _, block in BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
    )
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def test_there_are_commands() -> None:
    found = commands()
    assert len(found) >= 6
    assert all(re.match(r"mmgraph |python -m ", command) for command in found)


@pytest.mark.slow
def test_every_command_works(tmp_path: Path) -> None:
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    trained = (
        "mmgraph fit -c transfusion --trainer.max_steps 3 --run runs/transfusion/0"  # what the pages take as given
    )
    for command in (trained, *commands()):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
    assert (tmp_path / "batch.png").is_file()
    assert (tmp_path / "rows.jsonl").read_text().count("\n") > 20
    assert "@misc{zhou2024transfusion" in (tmp_path / "references.bib").read_text()
