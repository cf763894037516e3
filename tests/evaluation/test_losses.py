"""Held-out losses: against the model's own loss, fixed by the seed, and the same however they are batched."""

from __future__ import annotations

import pytest
import torch

from mmgraph.evaluation import losses
from mmgraph.sequence import Sample
from tests import tiny
from tests.evaluation import world


def direct(model, samples: list[Sample], head: str, time: float) -> list[float]:
    """The mean loss per token of each sample, one at a time."""
    found = []
    for sample in samples:
        with torch.no_grad():
            total, count = model.losses(model.assemble([sample], seed=0, fixed_time=time))[0][head]
        found.append(float(total / count))
    return found


@pytest.fixture
def data() -> world.Squares:
    return world.Squares()


def test_losses_are_those_of_single_samples(tiny_model, data):
    found = losses.held_out(tiny_model, data, "test", limit=5)
    assert set(found) == {"draw", "name", "ask"}
    assert set(found["draw"]) == {"image"}, "markers of a drawing are no text"
    known = data.evaluation("test", "draw")
    chosen = [Sample(known[place * len(known) // 5].segments, "draw", place) for place in range(5)]
    by_time = found["draw"]["image"].by_time
    assert by_time.shape == (len(losses.TIMES), 5)
    for row, time in zip(by_time, losses.TIMES, strict=True):
        assert row.tolist() == pytest.approx(direct(tiny_model, chosen, "image", time), rel=1e-4)
    assert found["draw"]["image"].values.tolist() == pytest.approx(by_time.mean(0).tolist())
    asked = data.evaluation("test", "ask")
    chosen = [Sample(asked[place * len(asked) // 5].segments, "ask", place) for place in range(5)]
    assert found["ask"]["text"].by_time is None
    assert found["ask"]["text"].values.tolist() == pytest.approx(direct(tiny_model, chosen, "text", 0.5), rel=1e-4)


def test_they_are_a_function_of_the_seed_and_not_of_the_batch(tiny_model, data, monkeypatch):
    first = losses.held_out(tiny_model, data, "test")["draw"]["image"]
    torch.manual_seed(7)
    monkeypatch.setattr(losses, "BATCH", 3)
    assert torch.allclose(losses.held_out(tiny_model, data, "test")["draw"]["image"].values, first.values, rtol=1e-4)
    other = losses.held_out(tiny_model, data, "test", seed=1)["draw"]["image"]
    assert not torch.allclose(other.values, first.values, rtol=1e-2)
    assert len(first.values) == 8
    assert len(set(first.values.tolist())) == 8, "each sample has noise of its own"


def test_packed_rows_are_scored_sample_by_sample(data):
    alone = losses.held_out(tiny.model(), data, "test", limit=4)
    packed = losses.held_out(tiny.model(row_length=64), data, "test", limit=4)
    for task, head in (("draw", "image"), ("ask", "text")):
        assert packed[task][head].values.tolist() == pytest.approx(alone[task][head].values.tolist(), rel=1e-4)


def test_what_metrics_json_holds(tiny_model, data):
    entry = losses.held_out(tiny_model, data, "test", limit=6)["draw"]["image"].entry(0)
    assert entry["n"] == 6
    assert list(entry["by_time"]) == ["0.1", "0.3", "0.5", "0.7", "0.9"]
    assert entry["ci95"][0] < entry["value"] < entry["ci95"][1]
    assert sum(entry["by_time"].values()) / 5 == pytest.approx(entry["value"], rel=1e-5)


def test_models_of_another_kind_have_none(data):
    assert losses.held_out(torch.nn.Linear(1, 1), data, "test") == {}
