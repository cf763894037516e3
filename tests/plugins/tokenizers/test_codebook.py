"""The codebook's arithmetic against sums written out, and its random choices against their seed."""

from __future__ import annotations

import pytest
import torch
from mmgraph_tokenizers import codebook as module
from mmgraph_tokenizers.codebook import Codebook, quantize, use

from mmgraph.errors import UsageError


def filled(size: int = 6, dim: int = 3, **options) -> Codebook:
    book = Codebook(size, dim, **options)
    book.codes.copy_(torch.randn(size, dim))
    book.batches += 1  # it has started
    return book


def test_the_nearest_code_is_the_one_of_least_distance():
    torch.manual_seed(0)
    book, vectors = filled(40, 5), torch.randn(2, 7, 5)
    distances = (vectors[..., None, :] - book.codes).square().sum(-1)
    codes = book.nearest(vectors)
    assert torch.equal(codes, distances.argmin(-1))
    assert torch.equal(book.lookup(codes), book.codes[codes])


def test_cosine_compares_directions():
    torch.manual_seed(0)
    book, vectors = filled(distance="cosine"), torch.randn(50, 3)
    book.codes.copy_(book.project(book.codes))
    codes = book.nearest(book.project(vectors))
    cosines = torch.cosine_similarity(vectors[:, None], book.codes[None], dim=-1)
    assert torch.equal(codes, cosines.argmax(-1))
    assert torch.equal(book.nearest(book.project(7 * vectors)), codes)
    quantize(book, vectors)
    torch.testing.assert_close(book.codes.norm(dim=1), torch.ones(6))


def test_codes_are_moving_averages_of_what_is_assigned():
    torch.manual_seed(0)
    book = filled(4, 2, decay=0.8, revive_below=0)
    first = book.codes.clone()
    batches = [torch.randn(30, 2) for _ in range(5)]
    batches = [batch[book.nearest(batch) != 3] for batch in batches]
    given = []
    for batch in batches:
        codes = book.nearest(batch)
        codes[codes == 3] = 0
        book.follow(batch, codes)
        given.append(codes)
    for code in range(4):
        sums, counts = torch.zeros(2), 0.0
        for age, (batch, codes) in enumerate(zip(reversed(batches), reversed(given), strict=True)):
            mine = batch[codes == code]
            sums, counts = sums + 0.8**age * mine.sum(0), counts + 0.8**age * len(mine)
        torch.testing.assert_close(book.codes[code], sums / counts if counts else first[code])
        # without the correction the number of vectors would seem small while the average is young
        unbiased = book.counts[code] / (1 - 0.8**6)
        assert float(unbiased) == pytest.approx(0.2 * counts / (1 - 0.8**6), rel=1e-5)


def test_outside_training_nothing_moves():
    book = filled().eval()
    before = {name: value.clone() for name, value in book.state_dict().items()}
    quantize(book, torch.randn(20, 3))
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())


def test_gradient_passes_straight_through_and_commitment_is_its_formula():
    torch.manual_seed(0)
    book, vectors = filled().eval(), torch.randn(2, 5, 3, requires_grad=True)
    passed, codes, commitment = quantize(book, vectors)
    torch.testing.assert_close(passed, book.codes[codes])
    weights = torch.randn_like(passed)
    (gradient,) = torch.autograd.grad((passed * weights).sum(), vectors, retain_graph=True)
    torch.testing.assert_close(gradient, weights)
    (pull,) = torch.autograd.grad(commitment, vectors)
    torch.testing.assert_close(pull, 2 * (vectors - book.codes[codes]) / vectors.numel())


def test_the_first_batch_decides_where_codes_start():
    vectors = torch.cat([torch.randn(40, 2) + center for center in (-20.0, 0.0, 20.0)])
    torch.manual_seed(1)
    drawn = module._draw(vectors, 12)
    torch.manual_seed(1)
    book = Codebook(12, 2)
    book.start(vectors)
    error = (vectors - book.lookup(book.nearest(vectors))).square().mean()
    before = torch.cdist(vectors, drawn).min(1).values.square().mean() / 2
    assert error < before
    kept = book.codes.clone()
    book.batches += 1
    book.start(torch.randn(50, 2))
    assert torch.equal(book.codes, kept)


def test_a_batch_smaller_than_the_codebook_can_start_it():
    book = Codebook(10, 2)
    quantize(book, torch.randn(3, 2))
    assert book.codes.isfinite().all()
    assert book.codes.abs().sum(1).gt(0).all()


def test_dead_codes_take_places_of_the_batch_the_same_for_the_same_seed():
    torch.manual_seed(0)
    one = filled(8, 2, decay=0.5)
    one.codes[5:] = 1000.0
    two = Codebook(8, 2, decay=0.5)
    two.load_state_dict(one.state_dict())
    vectors = torch.randn(64, 2)
    for book in (one, two):
        torch.manual_seed(7)
        quantize(book, vectors)
        rows = {tuple(row) for row in vectors.tolist()}
        assert all(tuple(row) in rows for row in book.codes[5:].tolist())
    assert torch.equal(one.codes, two.codes)
    torch.testing.assert_close(one.counts[5:] / (1 - 0.5**2), torch.full((3,), 8.0))  # 64 vectors, 8 codes
    never = filled(8, 2, revive_below=0)
    never.codes[5:] = 1000.0
    quantize(never, vectors)
    assert never.codes[5:].eq(1000).all()


def test_several_processes_share_their_counts(monkeypatch):
    """Two processes that saw the same batch have the same codes as one, and twice the counts."""
    torch.manual_seed(0)
    one, two, vectors = filled(4, 2, revive_below=0), Codebook(4, 2, revive_below=0), torch.randn(30, 2)
    two.load_state_dict(one.state_dict())
    quantize(one, vectors)

    class Pair:
        is_available = is_initialized = staticmethod(lambda: True)
        all_reduce = staticmethod(lambda tensor: tensor.mul_(2))
        broadcast = staticmethod(lambda tensor, source: None)

    monkeypatch.setattr(module, "distributed", Pair)
    quantize(two, vectors)
    torch.testing.assert_close(two.codes, one.codes)
    torch.testing.assert_close(two.counts, 2 * one.counts)


def test_use_and_perplexity():
    even = use(torch.arange(12).repeat(3), 12)
    assert float(even["codebook_use"]) == 1
    assert float(even["perplexity"]) == pytest.approx(12, rel=1e-5)
    one = use(torch.zeros(9, dtype=torch.long), 12)
    assert float(one["codebook_use"]) == pytest.approx(1 / 12)
    assert float(one["perplexity"]) == pytest.approx(1)
    uneven = use(torch.tensor([0, 0, 0, 1]), 5)
    assert float(uneven["perplexity"]) == pytest.approx(0.75**-0.75 * 0.25**-0.25, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 1}, "at least 2 codes"),
        ({"decay": 1.0}, "decay 1.0"),
        ({"revive_below": -0.1}, "revive_below -0.1"),
        ({"distance": "manhattan"}, "euclidean or cosine"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(UsageError, match=message):
        Codebook(**{"size": 4, "dim": 2, **options})
