"""Committed runs of recipes: which rows are theirs, the tables that they make, and the range of another seed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from mmgraph import recipes
from mmgraph.budgets import parse
from mmgraph.docs import committed, lift_pages, places, recipe_pages, result_pages
from mmgraph.docs.places import Places
from mmgraph.evaluation.studies import Arm, Study

ROOT = Path(__file__).resolve().parents[2]
KIND = {"n": 200, "ci95": [0.0, 1.0], "better": "higher"}
BACK = {"rmse": [22.0, 23.0], "codebook_use": [0.5, 0.6]}
CLIP = ("understanding.picture_to_text_at_1.accuracy", "understanding.zero_shot_colour.accuracy")


def row(recipe: str, seed: int, scores: dict[str, float], **changes: Any) -> dict[str, Any]:
    """Return a row as `compare` writes it."""
    budget = changes.pop("budget", "600steps")
    study = Study("many", (Arm(recipe, (recipe,)),), (seed,), parse(budget))
    own = {path: {"value": value, "chance": 0.25, "majority": 0.4, **KIND} for path, value in scores.items()}
    figures = {"parameters": 2_000_000, "trained_parameters": 500_000, "visual_tokens": 16, "cpu_seconds": 100 + seed}
    return {
        "schema": 2, "study": "many", "arm": recipe, "sources": [recipe], "changes": {}, "evaluate": {}, "threads": 1,
        "factors": {}, "seed": seed, "plan": study.digest(study.cells()[0]), "budget": budget, "status": "done",
        "date": "2030-01-02T00:00:00Z", "command": ["mmgraph fit"], "commit": None, "measures": own, "headline": {},
        "data": {"dataset": "ShapesDataset", "protocol": "random", "split": "test"}, "training": figures,
        "evaluation": {}, "versions": {"mmgraph": "0", "torch": "2"}, "hardware": {"cpu": "Abacus", "threads": 1},
        "items": {}, "curves": {},
        **changes,
    }  # fmt: skip


def seeds(recipe: str, scores: dict[str, list[float]], **changes: Any) -> list[dict[str, Any]]:
    """Return a row of each seed."""
    count = len(next(iter(scores.values())))
    return [row(recipe, k, {path: values[k] for path, values in scores.items()}, **changes) for k in range(count)]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A checkout without results; its recipes are the installed ones."""
    for name in ("tutorials", "docs/results", "docs/studies"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mkdocs.yml").write_text("nav: []\n")
    for module in (recipe_pages, result_pages):
        monkeypatch.setattr(module, "shipped", lambda places: recipes.names())
    return places.find(tmp_path)


def put(checkout: Places, rows: list[dict[str, Any]], name: str = "many.jsonl") -> None:
    text = "".join(json.dumps(one) + "\n" for one in rows)
    (checkout.results / name).write_text(text, encoding="utf-8")


ASKED = {"understanding.colour.accuracy": [0.6, 0.62, 0.64, 0.66, 0.68], "understanding.shape.accuracy": [0.5] * 5}


def test_rows_are_a_recipes_only_where_nothing_is_changed(checkout: Places) -> None:
    deeper = row("lm", 0, {"losses.write.text": 9.0}, changes={"model.init_args.depth": 6})
    factor = row("lm", 1, {"losses.write.text": 9.0}, factors={"depth": "6"})
    mine = row("lm", 2, {"losses.write.text": 9.0}, sources=["mine.yaml"])
    failed = row("lm", 3, {"losses.write.text.value": 9.0}, status="failed")
    put(checkout, [deeper, factor, mine, failed, row("lm", 4, {"losses.write.text.value": 1.5})])
    put(checkout, [{"arm": "lm", "seed": 0, "recall": 1.0}], "benchmark.jsonl")
    found = committed.of_recipes(checkout.results)
    assert list(found) == ["lm"]
    (runs,) = found["lm"]
    assert runs.values("losses.write.text") == [1.5]
    assert runs.checked == ["losses.write.text"]
    assert runs.expected("losses.write.text") is None, "one run has no range"


def test_runs_of_the_recipes_own_length_come_first_and_changed_recipes_are_told(checkout: Places) -> None:
    longer = seeds("lm", {"losses.write.text": [1.0, 1.1, 1.2]}, budget="5000steps")
    old = seeds("lm", {"losses.write.text": [3.0] * 4}, plan="of another recipe")
    own = committed.own_budget("lm")
    put(checkout, [*old, *longer, *seeds("lm", {"losses.write.text": [2.0, 2.1]}, budget=own)])
    found = committed.of_recipes(checkout.results)["lm"]
    assert [(runs.budget, len(runs.rows), runs.stale) for runs in found] == [
        (own, 2, False), ("5000steps", 3, False), ("600steps", 4, True),
    ]  # fmt: skip
    put(checkout, old)
    recipe_pages.write(checkout, checkout.root)
    assert "has been changed since" in (checkout.root / "recipes" / "lm.md").read_text()


def test_the_committed_records_of_single_runs_are_read_too() -> None:
    runs = committed.of_recipes(ROOT / "docs" / "results")["transfusion"]
    (records,) = [one for one in runs if not one.study]
    assert records.seeds == (0, 1)
    assert records.about("understanding.colour.accuracy", "majority") == pytest.approx(0.397, abs=1e-3)
    assert not records.stale


def test_a_range_is_that_of_one_more_value(checkout: Places) -> None:
    put(checkout, seeds("clip", ASKED))
    (runs,) = committed.of_recipes(checkout.results)["clip"]
    low, high = runs.expected("understanding.colour.accuracy") or (0, 0)
    t = 3.4954  # Student's t with 4 degrees of freedom, two-sided .975: .05 shared over two measures
    assert high - 0.64 == pytest.approx(t * 0.0316228 * (1 + 1 / 5) ** 0.5, rel=1e-4)
    assert high - 0.64 == pytest.approx(0.64 - low)
    low, high = runs.expected("understanding.shape.accuracy") or (0, 0)
    assert (low, high) == pytest.approx((0.5 - t * 0.005 * 1.2**0.5, 0.5 + t * 0.005 * 1.2**0.5), rel=1e-4)
    good = row("clip", 5, {"understanding.colour.accuracy": 0.64, "understanding.shape.accuracy": 0.51})
    assert committed.outside(runs, good) == []
    bad = copy.deepcopy(good)
    bad["measures"]["understanding.colour.accuracy"]["value"] = 0.40
    bad["measures"]["understanding.shape.accuracy"] = None
    first, second = committed.outside(runs, bad)
    assert first.startswith("understanding.colour.accuracy is 0.4, expected 0.5189 to 0.7611")
    assert second.startswith("understanding.shape.accuracy is nan")
    kept = committed.held(runs, bad)
    assert len(kept["outside"]) == 2
    assert kept["measures"]["understanding.colour.accuracy"]["value"] == 0.40


def test_a_share_stays_between_nothing_and_all(checkout: Places) -> None:
    put(checkout, seeds("clip", {"understanding.colour.accuracy": [0.9, 1.0, 0.95]}))
    (runs,) = committed.of_recipes(checkout.results)["clip"]
    assert (runs.expected("understanding.colour.accuracy") or (0, 0))[1] == 1.0


def test_another_run_is_planned_as_the_committed_ones_were(checkout: Places) -> None:
    put(checkout, seeds("clip", ASKED, budget="30cpu-s", evaluate={"limit": 9}))
    (runs,) = committed.of_recipes(checkout.results)["clip"]
    study = committed.plan(runs, 5)
    assert study.seeds == (5,)
    assert (str(study.budget), dict(study.evaluate), study.threads) == ("30cpu-s", {"limit": 9}, 1)
    assert study.measures == tuple(ASKED)


def test_another_seed_trains_for_the_mean_number_of_steps_of_the_committed_ones(checkout: Places) -> None:
    rows = seeds("clip", ASKED, budget="30cpu-s")
    for row, steps in zip(rows, (90, 100, 105, 120, 110), strict=True):
        row["training"]["steps"] = steps
    put(checkout, rows)
    (runs,) = committed.of_recipes(checkout.results)["clip"]
    study = committed.another(runs, 5)
    assert (str(study.budget), study.seeds) == ("105steps", (5,))


def test_every_page_of_a_recipe_shows_its_numbers_and_one_page_all_of_them(checkout: Places) -> None:
    put(
        checkout,
        [
            *seeds("lm", {"losses.write.text": [1.0, 1.1, 1.2]}),
            *seeds("transfusion", {"understanding.colour.accuracy": [0.6, 0.7, 0.8]}, budget="950steps"),
            *seeds("transfusion_long", ASKED),
            *seeds("clip", {CLIP[0]: [0.9, 0.9, 0.9], CLIP[1]: [0.5, 0.6, 0.7]}),
            *seeds("vqvae", {f"reconstruction.unseen.{name}": values for name, values in BACK.items()}),
        ],
    )
    run = {"recipe": "clip", "seed": 3, "date": "2030-02-03T00", "measures": {"a": {}, "b": {}}}
    committed.keep(checkout.results, {**run, "outside": ["a is off"]})
    committed.keep(checkout.results, {**run, "outside": ["b is off"]})
    pages = recipe_pages.write(checkout, checkout.root)
    assert {path for _, path in pages} >= {"generated/recipes/clip.md"}
    page = (checkout.root / "recipes" / "transfusion_long.md").read_text()
    assert "5 runs (seeds 0 to 4), 600 steps each, 102 CPU seconds on average; 2.00 M parameters, 0.50 M of" in page
    assert "| colour | 0.64 | [0.60, 0.68] | [0.52, 0.76] | 0.25 | 0.40 | 200 |" in page
    assert "`pytest -m golden`: not run." in page
    page = (checkout.root / "recipes" / "clip.md").read_text()
    assert "was made on 2030-02-03 with seed 3: 1 of 2 inside; b is off." in page
    assert "No runs are committed: not run." in (checkout.root / "recipes" / "ae.md").read_text()

    assert result_pages.write(checkout, checkout.root) == [("All results", "generated/results.md")]
    text = (checkout.root / "results.md").read_text()
    lines = text.splitlines()
    (line,) = [line for line in lines if line.startswith("| [`transfusion_long`]") and "600 steps" in line]
    assert "| seeds 0 to 4 | 600 steps | 2.00 M | 0.50 M | 16 | 102 | 0.57 [0.55, 0.59] | 0.25 | 0.40 |" in line
    assert "`mmgraph fit -c transfusion_long --seed 0 --budget 600steps`" in line
    (line,) = [line for line in lines if line.startswith("| [`ae`]")]
    assert line.count("not run") == 10
    where = lines.index("### Held-out questions: shapes, protocol random")
    asked = lines[where : where + 12]
    assert "| recipe | seeds | colour | shape |" in asked
    assert "| *chance* |  | 0.25 | 0.25 |" in asked
    assert "| *majority* |  | 0.40 | 0.40 |" in asked
    assert "| [`transfusion`](recipes/transfusion.md) | 3 | 0.70 [0.45, 0.95] | not measured |" in asked
    assert "### Retrieval and zero-shot attributes: shapes, protocol random" in lines
    assert "| recipe | seeds | picture to text at 1 | zero shot colour |" in lines
    assert "| [`vqvae`](recipes/vqvae.md) | 2 | 22.0, 23.0 | 0.50, 0.60 |" in lines
    assert "| [`lm`](recipes/lm.md) | 3 | 1.10 [0.85, 1.35] |" in lines
    assert "## Many" not in text, "rows of studies have pages of their own"
    assert "## Golden" not in text


def test_a_committed_study_has_its_page(checkout: Places) -> None:
    plan = {
        "question": "Which | is better?", "arms": {"lm": {"recipe": "lm"}, "clip": {"recipe": "clip"}},
        "seeds": 3, "budget": "600steps", "measures": ["training.cpu_seconds"], "results": "../results/many.jsonl",
    }  # fmt: skip
    (checkout.studies / "many.yaml").write_text(json.dumps(plan), encoding="utf-8")
    (checkout.studies / "later.yaml").write_text(json.dumps({**plan, "results": None}), encoding="utf-8")
    seconds = {"lm": [1.0, 1.1], "clip": [2.0, 2.3]}
    put(checkout, [one for arm in seconds for one in seeds(arm, {"training.cpu_seconds": seconds[arm]})])
    assert result_pages.write(checkout, checkout.root)[1:] == [
        ("Study, later", "generated/studies/later.md"), ("Study, many", "generated/studies/many.md"),
    ]  # fmt: skip
    text = (checkout.root / "results.md").read_text()
    assert "| [many](studies/many.md) | Which \\| is better? | 4 of 6 | Primary contrast, clip − lm in" in text
    assert "| [later](studies/later.md) | Which \\| is better? | not run |" in text
    assert "mmgraph compare --study docs/studies/many.yaml" in text
    page = (checkout.root / "studies" / "many.md").read_text()
    assert "clip, seed 2: not run." in page
    assert '??? example "The study file"' in page


def test_a_committed_lift_has_its_page(checkout: Places) -> None:
    assert "No graph lift is committed yet: not run.\n" in lift_pages.summary(checkout)
    rows = []
    for arm, accuracy in (("mlp", 0.3), ("real", 0.8), ("rewired", 0.3)):
        for one in seeds("graph_transfusion", {"graph.accuracy": [accuracy, accuracy + 0.01]}, budget="20steps"):
            about = {"arm": arm, "study": "graph-lift-small", "evaluate": {"limit": 9}}
            rows.append({**one, **about, "changes": {} if arm == "real" else {"model.init_args.graph": arm}})
    put(checkout, rows, "graph-lift-small.jsonl")
    assert result_pages.write(checkout, checkout.root)[1:] == [("Graph lift, small", "generated/lifts/small.md")]
    text = (checkout.root / "results.md").read_text()
    assert "| [small](lifts/small.md) | 6 of 6 | 2 | No help is shown" in text
    page = (checkout.root / "lifts" / "small.md").read_text()
    assert "**No help is shown" in page, "two of the three endpoints were not measured"
    assert (
        "$ mmgraph graph-lift -c graph_transfusion --seeds 2 --budget 20steps --arms mlp,real,rewired --limit 9 "
        "--results docs/results/graph-lift-small.jsonl" in page
    )
