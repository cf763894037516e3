"""Study files: what they may say, and what is said about a mistake."""

from __future__ import annotations

import pytest

from mmgraph.errors import UsageError
from mmgraph.evaluation.studies import read, short
from mmgraph.evaluation.studies.plan import Cell


def test_a_file_with_everything_in_it(tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {}\n")
    (tmp_path / "fusion.yaml").write_text(
        """
question: Does depth help,
  and where?
arms:
  plain: transfusion
  deep:
    config: mine.yaml
    set: {model.init_args.depth: 6, data.init_args.batch_size: 8}
    label: six layers
    evaluate: {guidance: 1}
seeds: [0, 4]
budget: 600cpu-s
factors:
  data.init_args.size: [100, 1000]
  noise:
    levels: {none: {}, some: {data.init_args.shift: 1}}
measures: [generation.unseen.recall_at_10, losses.ask.text]
contrasts:
  - {arm: deep, minus: plain, at: {size: 1000}, measure: losses.ask.text}
evaluate: {limit: 20}
results: ../results/fusion.jsonl
"""
    )
    study = read(tmp_path / "fusion.yaml")
    assert study.name == "fusion"
    assert study.question == "Does depth help, and where?"
    assert study.budget.cpu_seconds == 600
    assert len(study.cells()) == 2 * 2 * 4
    assert [cell.seed for cell in study.cells()] == [0] * 8 + [4] * 8, "whole seeds first: they are what is paired"
    cell = Cell("deep", (("size", "1000"), ("noise", "some")), 4)
    assert cell in study.cells()
    assert study.overrides(cell) == {
        "model.init_args.depth": 6,
        "data.init_args.batch_size": 8,
        "data.init_args.size": 1000,
        "data.init_args.shift": 1,
    }
    assert study.evaluation(cell) == {"limit": 20, "guidance": 1}
    assert str(study.folder(cell)) == "deep/size=1000,noise=some/4"
    assert study.tested()[0].primary
    assert study.results == tmp_path / "../results/fusion.jsonl"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": "3steps"}, "unknown key 'budgets'. Did you mean 'budget'"),
        ({"arms": {"a": {"recipe": "transfusion", "sets": {}}}}, "unknown key 'sets'. Did you mean 'set'"),
        ({"arms": {"a": "transfusoin"}}, "there is no recipe 'transfusoin'. Did you mean 'transfusion'"),
        ({"arms": {"a": {"set": {}}}}, "names neither a recipe nor a config"),
        ({"arms": {"a": {"config": "no.yaml"}}}, "there is no configuration file"),
        ({"arms": {"a b": "transfusion"}}, "'a b' cannot name a folder"),
        ({"arms": {"a": {"recipe": "transfusion", "set": {"data.init_args.seed": 1}}}}, "the study decides"),
        ({"arms": {"a": {"recipe": "transfusion", "set": {"trainer.max_steps": 1}}}}, "the study decides"),
        ({"evaluate": {"limits": 3}}, "unknown key 'limits'"),
        ({"contrasts": [{"arm": "deep", "minus": "plian"}]}, "the arm 'plian'. Did you mean 'plain'"),
        ({"contrasts": [{"arm": "deep", "minus": "plain", "at": {"n": 1}}]}, "the factor 'n'"),
        ({"contrasts": [{"arm": "deep", "minus": "plain", "measure": "x"}]}, "names the measure 'x'"),
        ({"front": ["losses.ask.text"]}, "needs two of its measures in front"),
        ({"seeds": [1, 1]}, "seeds are a number"),
        ({"seeds": 0}, "seeds are a number"),
        ({"budget": "forever"}, "'forever' is no budget"),
        ({"factors": {"n": {"values": [1]}}}, "needs 'key'"),
        ({"threads": 0}, "threads must be 1 or more"),
    ],
)
def test_a_mistake_is_named(make_study, changes, message):
    with pytest.raises(UsageError, match=message):
        make_study(**changes)


def test_the_short_form_tells_equal_recipes_apart():
    study = short(["transfusion", "transfusion", "transfusion_long"], seeds=2, budget="30steps")
    assert [arm.name for arm in study.arms] == ["transfusion", "transfusion-2", "transfusion_long"]
    assert study.baseline.name == "transfusion"
    assert [(one.arm, one.minus) for one in study.tested()] == [
        ("transfusion-2", "transfusion"),
        ("transfusion_long", "transfusion"),
    ]


def test_a_plan_is_told_apart_by_all_that_changes_a_result(make_study, tmp_path):
    first = make_study()
    cell = first.cells()[0]
    others = [make_study(budget="31steps"), make_study(evaluate={"limit": 3}), make_study(threads=2)]
    assert len({first.digest(cell), *(study.digest(cell) for study in others)}) == 4
    before = first.digest(cell)
    assert make_study(seeds=5).digest(cell) == before, "more seeds leave what was run as it is"
    (tmp_path / "plain.yaml").write_text("model: {other: 1}\n")
    assert first.digest(cell) != before
