"""Every comparison builds and runs once at a tiny size; nothing is timed."""

from __future__ import annotations

import importlib.util
import math

import pytest
import torch

from tests.benchmarks import cases, ours, peers
from tests.benchmarks.measuring import Ratios, Side, alternate
from tests.benchmarks.sizes import FULL, TINY

SIDES = sorted({side for case in cases.CASES for side in (case.first, case.second)})
NEEDS = {side: case.needs for case in cases.CASES for side in (case.first, case.second) if side.startswith("peers.")}


def _need(package: str | None) -> None:
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f'{package} is not installed; pip install -e ".[bench]"')


@pytest.mark.parametrize("side", SIDES)
def test_each_side_runs(side: str) -> None:
    _need(NEEDS.get(side))
    built = cases.resolve(side)(TINY)
    assert built.timed(2, "cpu") > 0
    assert built.parameters > 0 or side == "ours.loading"


def test_the_mixed_comparison_is_between_equals() -> None:
    _need(cases.PEER)
    first, second = cases.resolve("peers.transfusion")(FULL), cases.resolve("ours.mixed")(FULL)
    assert abs(first.parameters / second.parameters - 1) < 0.1


def test_the_text_comparison_is_between_equals() -> None:
    first, second = cases.resolve("peers.small_gpt")(FULL), cases.resolve("ours.text")(FULL)
    assert abs(first.parameters / second.parameters - 1) < 0.01


@pytest.mark.parametrize(
    ("theirs", "mine", "share"),
    [("transfusion_drawing", "drawing", 0.1), ("llama_one", "cached_one", 0.05)],
)
def test_the_comparisons_of_generating_are_between_equals(theirs: str, mine: str, share: float) -> None:
    _need(NEEDS[f"peers.{theirs}"])
    first, second = cases.resolve(f"peers.{theirs}")(FULL), cases.resolve(f"ours.{mine}")(FULL)
    assert abs(first.parameters / second.parameters - 1) < share


def test_text_batches_fill_the_sequence() -> None:
    model = ours.text_model(TINY, TINY.length)
    assembly = model.assemble(ours.text_batches(TINY)[0])
    assert assembly.layout.shape == (TINY.batch, TINY.length)


@pytest.mark.parametrize("ragged", [False, True])
def test_mixed_batches_have_the_lengths_they_say(ragged: bool) -> None:
    model = ours.mixed_model(TINY)
    layout = model.assemble(ours.mixed_batches(TINY, ragged)[0]).layout
    lengths = [TINY.text_length(number, ragged) for number in range(TINY.batch)]
    assert layout.valid.sum(1).tolist() == [length + TINY.side**2 + 4 for length in lengths]
    assert layout.shared is not ragged


def test_ragged_texts_spread_over_their_range() -> None:
    lengths = {FULL.text_length(number, True) for number in range(4 * FULL.batch)}
    assert (min(lengths), max(lengths)) == (32, 96)


def test_decoding_runs_to_the_end() -> None:
    texts = ours.decoding(TINY, 2, use_cache=True).run(1)
    assert texts == ours.decoding(TINY, 2, use_cache=False).run(1)
    assert all(len(text.encode("utf-8", errors="replace")) > 0 for text in texts)


def test_alternating_pairs_the_ratios() -> None:
    turns: list[str] = []

    def side(name: str, times: list[float]) -> Side:
        given = iter(times)
        return Side(lambda n: None, 0, lambda n, clock: (turns.append(name), next(given))[1])

    found = alternate(side("a", [9, 2, 4, 6]), side("b", [9, 1, 1, 4]), rounds=3, steps=1, warmup=1, clock="cpu")
    assert (found.median, found.low, found.high) == (2.0, 1.5, 4.0)
    assert turns == ["a", "b", "a", "b", "b", "a", "a", "b"]


def test_ratios_keep_both_medians() -> None:
    found = Ratios.of([2.0, 4.0], [1.0, 4.0])
    assert math.isclose(found.median, 1.5)
    assert (found.first, found.second) == (3.0, 2.5)


def test_both_codebooks_choose_the_same_codes() -> None:
    _need(cases.QUANTIZER)
    theirs, batches = peers._quantizer(TINY)
    mine, _ = ours._codebook(TINY)
    _, codes, _ = theirs(batches[0])
    theirs.eval()
    mine.codes.copy_(theirs.codebook)
    _, codes, _ = theirs(batches[1])
    assert torch.equal(mine.eval().nearest(batches[1]), codes)


def test_scalar_codes_mean_the_same_levels() -> None:
    _need(cases.QUANTIZER)
    from mmgraph_tokenizers.fsq import ScalarQuantizer
    from vector_quantize_pytorch import FSQ

    theirs, ours = FSQ([8, 5, 5]), ScalarQuantizer([8, 5, 5])
    every = torch.arange(200)
    torch.testing.assert_close(ours.lookup(every), theirs.indices_to_codes(every))
    vectors = torch.randn(50, 4, 3)
    _, codes = theirs(vectors)
    # their bound lies a thousandth outside the last level, ours inside: a number at an edge may fall otherwise
    assert (ours(vectors)[1] == codes).float().mean() > 0.97
