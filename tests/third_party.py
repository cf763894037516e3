"""Distributions of third parties that last for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmgraph import recipes, registry, zoo


def forget() -> None:
    registry.declared.cache_clear()
    recipes._table.cache_clear()
    zoo._table.cache_clear()


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install a distribution that lasts for the test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, files: dict[str, str], points: dict[str, dict[str, str]], version: str = "1.0") -> Path:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        sections = (
            f"[mmgraph.{kind}]\n" + "".join(f"{alias} = {target}\n" for alias, target in table.items())
            for kind, table in points.items()
        )
        (info / "entry_points.txt").write_text("\n".join(sections))
        forget()
        return tmp_path

    yield install
    forget()
