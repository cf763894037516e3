from __future__ import annotations

import copy
from html.parser import HTMLParser

import pytest

from mmgraph.evaluation import report, tables

VOID = {"meta", "img", "br", "rect", "line"}


class Structure(HTMLParser):
    """Collects tags and texts, and notices a tag that is not closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def made_up(metrics_and_examples):
    return copy.deepcopy(metrics_and_examples)


def text_of(page):
    return " ".join(" ".join(Structure(page).texts).split())


def test_the_page_is_well_formed_and_everything_from_outside_is_escaped(made_up, tmp_path):
    (tmp_path / "config.yaml").write_text("note: </pre><script>alert(1)</script>\n")
    page = report.render(tmp_path, *made_up)
    tags = [tag for tag, _ in Structure(page).tags]
    assert "script" not in tags
    assert "fox" not in tags
    assert "</pre><script>alert(1)</script>" in text_of(page)
    assert "made <up> , seed 7" in text_of(page)


def test_says_which_pictures_of_which_size_and_which_tokenizer(made_up, tmp_path):
    text = text_of(report.render(tmp_path, *made_up))
    for said in (
        "Emoji: groups A & B",
        "1,100 train, 220 test, 32 × 24 px",
        "AE, 16 tokens",
        "grouped; measured on test",
        "5.2 M",
        "1,200 steps, 3 min 58 s, 320 samples/s",
        "Abacus & Sons, 1 thread",
        "mmgraph evaluate --run x",
        "Art by <nobody>",
        "Something was <left out>.",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("protocol", "said"),
    [("random", "shown variants"), ("grouped", "never met"), ("compositional", "only apart")],
)
def test_says_what_unseen_means(made_up, tmp_path, protocol, said):
    metrics, shown = made_up
    assert said in text_of(report.render(tmp_path, {**metrics, "protocol": protocol}, shown))


def test_headline_numbers_come_first_with_their_baselines(made_up, tmp_path):
    text = text_of(report.render(tmp_path, *made_up))
    first = text.index("R@1 of 150, trained concepts")
    assert text[first:].startswith(
        "R@1 of 150, trained concepts 0.50 95 %: 0.40 to 0.60 Chance 0.007 Nearest caption 0.25 Real pictures 1.00"
    )
    assert first < text.index("What it drew") < text.index("Names and answers") < text.index("All numbers")


def test_right_and_wrong_differ_by_symbol_colour_and_spoken_word(made_up, tmp_path):
    page = report.render(tmp_path, *made_up)
    said = {attrs.get("aria-label") for tag, attrs in Structure(page).tags if tag == "span"}
    assert {"right", "wrong"} <= said
    text = text_of(page)
    assert "What is this? ✓ <fox>" in text
    assert "What is this? ✗ (nothing) is: <fox>" in text
    assert "a <b> fox ✓ R@1" in text
    assert "a <b> fox ✗ R@1" in text


def test_every_picture_is_described(made_up, tmp_path):
    tags = Structure(report.render(tmp_path, *made_up)).tags
    described = [attrs["alt"] for tag, attrs in tags if tag == "img"]
    assert described == ["Drawn: a <b> fox", "True picture: a <b> fox"] * 2 + ["Picture of fox"]
    assert all(attrs.get("role") == "img" and attrs["aria-label"] for tag, attrs in tags if tag == "svg")


def test_sections_without_content_are_left_out(made_up, tmp_path):
    metrics, _ = made_up
    metrics |= {
        "generation": {},
        "reconstruction": {},
        "legend": {},
        "notes": [],
        "understanding_trained": {},
    }
    text = text_of(report.render(tmp_path, metrics, {"drawings": {}, "answers": {}, "neighbourhoods": []}))
    for absent in ("What it drew", "Names and answers", "Loss", "All numbers", "Configuration"):
        assert absent not in text
    assert "Questions about unseen concepts" in text


def test_the_loss_is_drawn_into_the_page(made_up, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "metrics.csv").write_text("step,train_loss\n0,2\n1,1\n")
    assert "train loss" in text_of(report.render(tmp_path, *made_up))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0.00"),
        (0.756, "0.76"),
        (0.0123, "0.012"),
        (-0.0234, "−0.023"),
        (-0.0001, "0.000"),
        (13.38, "13.4"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_keep_the_digits_that_tell_something(value, shown):
    assert tables.number(value) == shown


def test_times_and_counts_in_the_units_people_use():
    assert [report.duration(s) for s in (None, 12.2, 238, 5399, 7300)] == [
        "not recorded",
        "12 s",
        "3 min 58 s",
        "89 min 59 s",
        "2 h 01 min",
    ]
    assert [report.count(n) for n in (None, 9999, 12345, 5_212_345, 2.5e9)] == [
        "not recorded",
        "9,999",
        "12.3 k",
        "5.21 M",
        "2.5 G",
    ]


def test_a_ruler_stays_between_its_ends():
    drawn = tables.ruler(1.0, (0.97, 1.2), 0.5, 0.3)
    assert 'width="100.00%"' in drawn
    assert 'x="97.00%" y="2" width="3.00%"' in drawn
    assert "95 % interval 0.97 to 1.20; chance 0.50; majority 0.30" in drawn
