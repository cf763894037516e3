"""The verdict of a graph lift from made-up rows: which gains it needs, and which way each endpoint counts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from mmgraph.budgets import Budget
from mmgraph.evaluation import items, studies
from mmgraph.evaluation.studies import graph_lift, lift_page, rows
from mmgraph.evaluation.studies.rows import pack

RECIPE = str(Path(__file__).resolve().parents[2] / "cli" / "graph.yaml")
USUAL = {"graph.accuracy": 0.3, "graph.bits": 2.0, "graph.denoising": 1.0}
GOOD = {"graph.accuracy": 0.8, "graph.bits": 1.0, "graph.denoising": 0.8}
HIGHER = ("accuracy", graph_lift.ORACLE)


@pytest.fixture(scope="module")
def study():
    found, _ = graph_lift.plan(RECIPE, seeds=range(5), budget=Budget(steps=2))
    return found


def analyse(study, **levels):
    """Return the analysis of rows whose arms have these means; those that are not named have the usual ones."""
    return studies.analyse(study, made_up(study, **levels))


def made_up(study, **levels):
    """Return the rows."""
    found = []
    for cell in study.cells():
        means = {**USUAL, **levels.get(cell.arm, {})}
        noise = random.Random(f"{cell.arm} {cell.seed}")
        values = {m: [mean + noise.gauss(0, 0.05) for _ in range(30)] for m, mean in means.items()}
        keys = [(str(node), "") for node in range(30)]
        found.append(
            {
                "study": study.name,
                "sources": list(study.arm(cell.arm).sources),
                "budget": str(study.budget),
                "arm": cell.arm,
                "factors": {},
                "seed": cell.seed,
                "status": "done",
                "measures": {
                    m: {"value": sum(v) / 30, "better": "higher" if m.endswith(HIGHER) else "lower"}
                    for m, v in values.items()
                },
                "items": {m: pack(items.items(keys, v)) for m, v in values.items()},
                "training": {},
                "hardware": {"threads": 1, "cpu": "any"},
            }
        )
    return found


class TestPlan:
    def test_every_arm_of_the_data_set(self, study):
        names = [arm.name for arm in study.arms]
        fixed = ["none", "mlp", "real", "rewired", "same_class", "permuted", "text_only", "image_only"]
        assert names == [*fixed, "only_same_colour", "only_opposite_colour", "only_same_shape", "only_noise"]
        pairs = {(contrast.arm, contrast.minus) for contrast in study.contrasts}
        assert pairs >= {("real", "mlp"), ("real", "rewired"), ("only_noise", "mlp")}
        assert study.contrasts[0].primary

    def test_drawings_are_measured_where_there_are_some_and_marked_where_an_oracle_is(self, study, tmp_path):
        assert study.measures[-3:] == (graph_lift.ORACLE, *graph_lift.DRAWN)
        config = yaml.safe_load(Path(RECIPE).read_text())
        config["data"]["init_args"]["tasks"] = {"ask": 1}
        path = tmp_path / "asks.yaml"
        path.write_text(yaml.safe_dump(config))
        silent, _ = graph_lift.plan(str(path), seeds=[0], budget=Budget(steps=2))
        assert silent.measures == (*graph_lift.MEASURES, *graph_lift.BESIDE, *graph_lift.CONDITIONS)

    def test_the_blind_arm_is_as_large(self, study):
        changes = study.arm("mlp").overrides
        encoder = changes["model.init_args.graph.init_args.encoder"]
        assert encoder["init_args"]["match"]["class_path"] == "mmgraph.graph_encoders.rgcn"
        assert changes["model.init_args.graph.init_args.control"]["init_args"] == {"contents": "hidden"}

    def test_no_graph_drops_none(self, study):
        assert study.arm("none").overrides["model.init_args.condition_dropout"] == {}
        assert study.arm("none").overrides["model.init_args.graph"] is None

    def test_chosen_arms_have_the_two_controls(self):
        found, _ = graph_lift.plan(RECIPE, seeds=[0], budget=Budget(steps=2), arms=["permuted"])
        assert [arm.name for arm in found.arms] == ["mlp", "real", "rewired", "permuted"]


class TestVerdict:
    def test_helps_both(self, study):
        found = graph_lift.verdict(analyse(study, real=GOOD))
        assert found["helps"] == {"understanding": True, "generation": True}
        assert found["helps_both"]
        assert found["verdict"].startswith("The graph helps both")
        assert all(lift["gain"] > 0 for lift in found["lifts"]), "fewer bits and less loss are gains"

    def test_no_help_of_rewired_edges_is_enough_to_fail(self, study):
        both = graph_lift.verdict(analyse(study, real=GOOD, rewired=GOOD))
        assert both["helps"] == {"understanding": False, "generation": False}
        assert both["verdict"].startswith("No help is shown")
        assert not graph_lift.verdict(analyse(study, real=GOOD, mlp=GOOD))["helps_both"]

    def test_one_side_only(self, study):
        drawn = {"graph.denoising": 0.8}
        found = graph_lift.verdict(analyse(study, real=drawn))
        assert found["helps"] == {"understanding": False, "generation": True}
        assert "helps generation" in found["verdict"]

    def test_understanding_needs_answers_and_bits(self, study):
        found = graph_lift.verdict(analyse(study, real={"graph.accuracy": 0.9, "graph.denoising": 0.8}))
        assert not found["helps"]["understanding"]

    def test_harm_is_no_help(self, study):
        found = graph_lift.verdict(analyse(study, mlp=GOOD, rewired=GOOD))
        assert not any(found["helps"].values())
        assert all(lift["gain"] < 0 for lift in found["lifts"] if lift["over"] in ("mlp", "rewired"))

    def test_nothing_was_run(self, study):
        found = graph_lift.verdict(studies.analyse(study, []))
        assert not found["helps_both"]

    def test_the_page(self, study, tmp_path):
        analysis = analyse(study, real=GOOD, only_noise={"graph.accuracy": 0.31})
        lift_page.write(analysis, tmp_path, {"majority": {"accuracy": 0.2}, "ceiling": {"accuracy": 0.81}})
        page = (tmp_path / "lift.md").read_text()
        assert "**The graph helps both" in page
        assert "| ceiling | 0.81 |" in page
        assert "relation noise alone" in page
        assert "Gains of relations alone, over the graph-blind arm: accuracy: all relations 0.5" in page
        assert "## Against homophily" not in page, "not measured"
        assert "## With fewer edges" not in page

    def test_plots_of_conditions(self, study):
        paths = [f"graph.{group}.accuracy" for group in ("alike.0-25", "alike.75-100", "removed.0", "removed.75")]
        usual = dict.fromkeys(paths, 0.3)
        real = {**GOOD, **usual, "graph.alike.75-100.accuracy": 0.9, "graph.removed.0.accuracy": 0.8}
        analysis = studies.analyse(study, made_up(study, real=real, mlp=usual, rewired=usual))
        page = lift_page.lift_page(analysis, {})
        assert "over the graph-blind arm: accuracy: 0-25 % " in page
        assert "75-100 % 0.6" in page or "75-100 % 0.5" in page
        assert "Real edges, a part taken away when scored: accuracy 0.8" in page
        assert "alike" not in page[page.index("## Arms") : page.index("## graph.accuracy")]

    def test_gains_of_drawings_stand_apart_and_decide_nothing(self, study):
        shown = {graph_lift.ORACLE: 0.4}
        analysis = analyse(study, real={**GOOD, graph_lift.ORACLE: 0.2}, mlp=shown, rewired=shown)
        over_mlp, *_ = graph_lift.lifts(analysis, measures=(graph_lift.ORACLE,))
        assert over_mlp.mean == pytest.approx(-0.2, abs=0.06)
        assert not over_mlp.gains
        assert graph_lift.verdict(analysis)["helps_both"]
        page = lift_page.lift_page(analysis, {})
        assert page.index("## Gains of real edges") < page.index("## Drawings") < page.index(graph_lift.ORACLE)
        assert "## Drawings" not in lift_page.lift_page(analyse(study, real=GOOD), {})

    def test_a_committed_page_needs_nothing_but_its_file(self, study, tmp_path):
        path = tmp_path / "graph-lift-tiny.jsonl"
        some = [row for row in made_up(study, real=GOOD) if row["arm"] in ("real", "mlp", "rewired", "text_only")]
        rows.write(path, some)
        assert "What needs no training" not in lift_page.committed_page(path)
        lift_page.keep(path, {"ceiling": {"accuracy": 0.81}})
        page = lift_page.committed_page(path)
        assert graph_lift.verdict(analyse(study, real=GOOD))["verdict"] in page
        assert "| ceiling | 0.81 |" in page
        assert "Budget 2steps a run, 5 seeds." in page
        assert "Arms that were not run: none, same_class, permuted, image_only, each relation alone." in page
        again = graph_lift.of_rows(rows.read(path))
        assert [contrast.title for contrast in again.contrasts] == ["real − mlp", "real − rewired", "text_only − mlp"]
        assert again.contrasts[0].primary
