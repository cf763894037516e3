"""From rows to verdicts, and the pages that show them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from mmgraph.evaluation import studies
from mmgraph.evaluation.studies import analysis as analysing
from mmgraph.evaluation.studies import page, plots

from .conftest import NAMING


def better(arm: str, seed: int) -> float:
    return 0.9 if arm == "deep" else 0.1


@pytest.fixture
def analyse(make_study, launcher, tmp_path):
    """Run a study and analyse it."""

    def make(accuracy=better, fails=None, run=None, **changes):
        study = make_study(**{"seeds": 5, **changes})
        found = studies.run(run or study, tmp_path / "out", launch=launcher(accuracy, fails), tell=lambda line: None)
        return studies.analyse(study, found)

    return make


def test_a_clear_difference_is_called_one(analyse):
    found = analyse()
    one = found.comparisons[0]
    assert one.primary
    assert (one.contrast.arm, one.contrast.minus) == ("deep", "plain")
    assert one.verdict == "higher"
    assert one.mean == pytest.approx(0.8, abs=0.1)
    assert one.bootstrap is not None
    assert 0.5 < one.bootstrap[0] < one.mean < one.bootstrap[1] < 1
    assert one.p_flips == 2 / 2**5
    assert one.p_holm is None, "one primary contrast needs no correction"
    assert found.of(NAMING)[0].interval[0] < 0.2


def test_equal_arms_show_no_difference(analyse):
    assert analyse(lambda arm, seed: 0.5).comparisons[0].verdict == "no difference shown"


def test_lower_is_said_as_well(analyse):
    contrasts = [{"arm": "plain", "minus": "deep"}]
    assert analyse(contrasts=contrasts).comparisons[0].verdict == "lower"


def test_secondary_contrasts_are_corrected(analyse):
    both = [{"arm": "plain", "minus": "deep"}, {"arm": "deep", "minus": "plain", "primary": True}]
    first, second = analyse(contrasts=both).comparisons
    assert first.primary
    assert first.contrast.arm == "deep"
    assert second.p_holm == second.p
    weak = analysing.Comparison(
        second.contrast, (), NAMING, second.differences, second.interval, None, 0.04, 0.06, p_holm=0.2
    )
    assert analysing.verdict(weak) == "no difference shown"


def test_one_seed_has_no_interval_and_none_is_not_run(analyse, make_study):
    assert analyse(seeds=1).comparisons[0].verdict == "one seed, no interval"
    nothing = studies.analyse(make_study(), [])
    assert nothing.comparisons[0].verdict == "not run"
    assert [row[2] for row in page.arm_table(nothing)[1]] == ["not run", "not run"]
    assert "deep, seed 2: not run." in nothing.notes


def test_differences_that_do_not_vary_need_enough_seeds(analyse):
    found = analyse().comparisons[0]
    flat = dict.fromkeys(range(3), 0.1)
    one = analysing.Comparison(found.contrast, (), NAMING, flat, (0.1, 0.1), None, None, 0.25, primary=True)
    assert analysing.verdict(one) == "no difference shown"


def test_factors_are_tested_at_each_level_and_over_all(analyse):
    found = analyse(factors={"size": {"key": "data.init_args.size", "values": [10, 1000]}})
    levels = [one.levels for one in found.comparisons]
    assert levels == [None, (("size", "10"),), (("size", "1000"),)]
    assert [one.primary for one in found.comparisons] == [True, False, False]
    mean = sum(found.comparisons[1].differences.values()) + sum(found.comparisons[2].differences.values())
    assert sum(found.comparisons[0].differences.values()) == pytest.approx(mean / 2)
    assert plots.factors(found, NAMING).startswith("<svg")


def test_a_front_joins_what_is_not_dominated(analyse):
    means = {"a": (0.1, 5.0), "b": (0.2, 3.0), "worse": (0.3, 4.0), "as_b": (0.2, 3.0), "c": (0.9, 1.0)}
    assert plots.undominated(means, ["lower", "lower"]) == ["a", "b", "as_b", "c"]
    assert plots.undominated(means, ["higher", "lower"]) == ["c"]
    traded = [NAMING, "training.cpu_seconds"]
    found = analyse(measures=traded, front=traded)
    assert "Not dominated: deep." in plots.front(found)
    assert "What is traded" in page.html_page(found)
    assert plots.front(analyse()) == ""


def test_samples_that_differ_are_told(analyse, make_study):
    found = analyse(seeds=2)
    rows = json.loads(json.dumps(found.rows))
    rows[0]["training"]["stream"] = "other"
    notes = studies.analyse(make_study(seeds=2), rows).notes
    assert len(notes) == 1
    assert "Seed 0: runs did not read the same first batch" in notes[0]


def test_other_items_leave_the_interval_over_items_out(analyse, make_study):
    rows = json.loads(json.dumps(analyse(seeds=2).rows))
    rows[0]["items"][NAMING]["digest"] = "other"
    assert studies.analyse(make_study(seeds=2), rows).comparisons[0].bootstrap is None


class Balanced(HTMLParser):
    """Follows open elements."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "img", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_says_it_all_in_words_and_figures(analyse, tmp_path):
    found = analyse(fails={("deep", 3): "mmgraph: <NaN> | lost"}, question="Does depth help?")
    studies.write(found, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# depth\n\nDoes depth help?")
    assert "Primary contrast, deep − plain in understanding.name.accuracy" in text
    assert re.search(r"over 4 seeds: higher\.", text)
    assert re.search(r"\| deep \| 0\.9\d* \| 0\.0\d+ \| \[0\.\d+, .*?\] \| 4 of 5 \| 0\.010 \|", text)
    assert "deep, seed 3: failed: <NaN> | lost" in text
    figures = re.findall(r'<div class="study-figure">(<svg.*?</svg>)</div>', text)
    assert len(figures) == 3
    assert all('role="img" aria-label="' in svg and "\n" not in svg for svg in figures)
    assert "currentColor" in figures[0]
    html = (tmp_path / "report.html").read_text()
    assert "&lt;NaN&gt;" in html
    parser = Balanced()
    parser.feed(html.replace("<!doctype html>", ""))
    assert parser.open == []
    saved = json.loads((tmp_path / "study.json").read_text())
    assert saved["contrasts"][0]["verdict"] == "higher"
    assert saved["arms"][0]["mean"] == pytest.approx(found.summaries[0].mean)


def test_what_decides_is_drawn_before_the_tables(analyse):
    text = studies.study_page(analyse().rows, analyse().study)
    order = [f"## {NAMING}", "## Learning curves", "## Differences", "## Arms", "## Cost", "## How it was made"]
    places = [text.index(f"\n{title}\n") for title in order]
    assert places == sorted(places)
    assert "<svg" in text[places[0] : places[1]]


def test_a_page_can_be_made_of_rows_alone(analyse, tmp_path, make_study):
    found = analyse(results="committed.jsonl")
    alone = studies.study_page(found.rows)
    assert "deep − plain" in alone
    assert "higher" in alone
    (tmp_path / "depth.yaml").write_text(
        json.dumps({"arms": {"plain": {"config": "plain.yaml"}, "deep": {"config": "deep.yaml"}}, "seeds": 6,
                    "budget": "30steps", "results": "committed.jsonl"})
    )  # fmt: skip
    committed = studies.committed_page(tmp_path / "depth.yaml")
    assert "plain, seed 5: not run." in committed
    assert "| 5 of 6 |" in committed
