"""Committed figures and tables are those that their scripts make now."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def script(name: str) -> ModuleType:
    path = DOCS / "figures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"figures_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["masks", "data_flow"])
def test_figures_are_not_stale(name: str, tmp_path: Path) -> None:
    for made in script(name).main(tmp_path):
        kept = DOCS / "assets" / made.name
        assert kept.read_text(encoding="utf-8") == made.read_text(encoding="utf-8"), (
            f"{kept} is stale; run: python docs/figures/{name}.py"
        )
        assert kept.stat().st_size < 20_000
        ElementTree.fromstring(kept.read_text(encoding="utf-8"))


def test_tables_are_not_stale() -> None:
    tables = script("tables")
    found = set()
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        found |= {name for _, name, _ in tables._PLACE.findall(text)}
        assert tables.fill(text) == text, f"{page} is stale; run: python docs/figures/tables.py"
    assert {name for name in found if not name.startswith("study ")} == set(tables.TABLES)


def test_a_table_of_a_study_shows_its_arms_and_says_what_is_missing(tmp_path: Path, monkeypatch) -> None:
    tables = script("tables")
    monkeypatch.setattr(tables, "DOCS", tmp_path)
    (tmp_path / "studies").mkdir()
    text = "<!-- table: study small -->\nold\n<!-- end of table -->\n"
    assert "Study `small`: not run." in tables.fill(text)
    plan = {"arms": {"lm": "lm", "clip": "clip"}, "seeds": 1, "budget": "5steps", "results": "rows.jsonl"}
    plan["measures"] = ["understanding.colour.accuracy"]
    (tmp_path / "studies" / "small.yaml").write_text(json.dumps(plan), encoding="utf-8")
    score = {"value": 0.5, "n": 10, "ci95": None, "chance": 0.1, "majority": 0.2, "better": "higher"}
    row = {"arm": "lm", "factors": {}, "seed": 0, "status": "done", "measures": {plan["measures"][0]: score}}
    row |= {"training": {"visual_tokens": 9, "cpu_seconds": 7.0}, "hardware": {"cpu": "x", "threads": 1}}
    (tmp_path / "studies" / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    filled = tables.fill(text)
    assert "| arm | colour | parameters | visual tokens | steps | CPU-s | seeds |" in filled
    assert "| lm | 0.50 | – | 9 | – | 7 | 1 |" in filled
    assert "| clip |" + " not run |" * 6 in filled
    assert "(../generated/studies/small.md)" in filled
    assert tables.fill(filled) == filled


def test_a_table_says_what_has_not_been_run() -> None:
    tables = script("tables")
    assert tables.span([]) == "not run"
    assert tables.span([1.0, 1.0]) == "1.0"
    assert tables.span([1.0, 2.0]) == "1.5 (1.0 to 2.0)"


def test_masks_follow_the_one_rule() -> None:
    masks = script("masks")
    assert len(masks.MASKS) == len({mask.name for mask in masks.MASKS}) >= 7
    for mask in masks.MASKS:
        layout = mask.layout
        order, sample = layout.order[0], layout.sample[0]
        seen = layout.mask()[0, 0]
        svg = masks.draw(mask)
        filled = len(re.findall(r'width="20" height="20" fill="#', svg))
        assert filled == int(seen.sum())
        allowed = (order[None] <= order[:, None]) & (sample[None] == sample[:, None])
        assert not bool((seen & ~allowed).any())
        if not bool(layout.own.any()):
            assert bool((seen == allowed).all()), mask.name


def test_every_figure_is_shown_with_words() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    for name in ("masks", "data_flow"):
        for file in sorted((DOCS / "assets").glob("mask-*.svg" if name == "masks" else "data-flow.svg")):
            alts = re.findall(rf"!\[([^\]]*)\]\([^)]*assets/{re.escape(file.name)}\)", pages)
            assert alts, f"{file.name} is shown on no page"
            assert all(len(alt.split()) >= 12 for alt in alts), file.name
