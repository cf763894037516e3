from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from mmgraph.blocks import dense
from mmgraph.connectors import linear
from mmgraph.errors import UsageError
from mmgraph.heads import next_token
from mmgraph.models import Optimization, UnifiedModel
from mmgraph.processors import single
from mmgraph.sequence import Layout, Sample, Segment
from mmgraph.tokenizers import patch
from tests import tiny


def losses_of(model, samples, **options) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        found, _ = model.losses(model.assemble(samples, **options))
    return {name: torch.stack((total, count.to(total))) for name, (total, count) in found.items()}


def added(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: sum(part[name] for part in parts if name in part) for name in ("text", "image")}


class TestLosses:
    def test_a_batch_is_the_sum_of_its_samples(self, tiny_model, tiny_samples):
        together = losses_of(tiny_model, tiny_samples, seed=3, training=True)
        alone = added([losses_of(tiny_model, [sample], seed=3, training=True) for sample in tiny_samples])
        for name in ("text", "image"):
            torch.testing.assert_close(together[name], alone[name], rtol=1e-5, atol=1e-4)

    def test_a_sample_does_not_depend_on_its_batch_mates(self, tiny_model, tiny_samples):
        for sample in tiny_samples[:4]:
            mates = [other for other in tiny_samples if other.key != sample.key]
            alone = losses_of(tiny_model, [sample])
            rest, whole = losses_of(tiny_model, mates), losses_of(tiny_model, [*mates, sample])
            for name, value in alone.items():
                torch.testing.assert_close(whole[name] - rest[name], value, rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("row_length", [24, 40, 64])
    def test_packing_changes_nothing(self, make_model, tiny_samples, row_length):
        expected = losses_of(make_model(), tiny_samples, seed=1, training=True)
        packed = losses_of(make_model(row_length=row_length), tiny_samples, seed=1, training=True)
        for name, value in expected.items():
            torch.testing.assert_close(packed[name], value, rtol=1e-5, atol=1e-4)

    def test_words_equal_cross_entropy_over_the_whole_sequence(self, tiny_model, tiny_samples):
        named = [sample for sample in tiny_samples if sample.task != "draw"]
        for sample in named:
            assembly = tiny_model.assemble([sample])
            with torch.no_grad():
                hidden, _ = tiny_model.run(tiny_model.embed(assembly))
                logits = tiny_model.vocabulary.logits(hidden[0])
            layout, ids = assembly.layout, assembly.ids[0]
            # what comes after each position, where it is a word of the answer or the end
            answer = (layout.role[0, 1:] == 1) & (layout.modality[0, 1:] == 0)
            answer[-1] = True
            expected = F.cross_entropy(logits[:-1][answer], ids[1:][answer], reduction="sum")
            total, count = losses_of(tiny_model, [sample])["text"]
            torch.testing.assert_close(total, expected)
            assert int(count) == int(answer.sum())

    def test_one_timed_span_per_row_is_a_shortcut_not_another_result(self, tiny_model, tiny_samples):
        draws = [sample for sample in tiny_samples if sample.task == "draw"]
        same = [Sample((Segment("text", "fox"), s.segments[1]), "draw", s.key) for s in draws]
        assembly = tiny_model.assemble(same)
        assert assembly.layout.timed_slice is not None
        assert assembly.layout.shared
        fields = {name: getattr(assembly.layout, name) for name in Layout.FIELDS}
        slow = replace(assembly, layout=Layout(**fields))
        with torch.no_grad():
            (fast, _), (expected, _) = tiny_model.losses(assembly), tiny_model.losses(slow)
        for name, (total, count) in expected.items():
            torch.testing.assert_close(fast[name][0], total, rtol=1e-6, atol=1e-5)
            assert fast[name][1] == count

    def test_the_time_matters(self, tiny_model, tiny_samples):
        assembly = tiny_model.assemble(tiny_samples)
        before = tiny_model.losses(assembly)[0]["image"][0]
        assembly.times = assembly.times * 0.5
        assert not torch.allclose(before, tiny_model.losses(assembly)[0]["image"][0], rtol=1e-4)

    def test_the_caption_matters_to_the_drawing(self, tiny_model, tiny_samples):
        sample = tiny_samples[0]
        other = Sample((Segment("text", "two small ears"), sample.segments[1]), "draw", sample.key)
        first, second = (losses_of(tiny_model, [s])["image"] for s in (sample, other))
        assert not torch.allclose(first, second, rtol=1e-5)


class TestTraining:
    def test_every_parameter_learns(self, make_model, tiny_samples):
        model = make_model(stirred=False, condition_dropout={"text": 0.3}).train()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        seen = {name: False for name, _ in model.named_parameters()}
        first = last = 0.0
        for step in range(40):
            batch = [replace(sample, key=sample.key + 8 * step) for sample in tiny_samples]
            found, _ = model.losses(model.assemble(batch, training=True))
            loss = sum(total / count for total, count in found.values())
            optimizer.zero_grad()
            loss.backward()
            for name, parameter in model.named_parameters():
                seen[name] = seen[name] or (parameter.grad is not None and bool(parameter.grad.any()))
            optimizer.step()
            first, last = first or float(loss.detach()), float(loss.detach())
        assert [name for name, learns in seen.items() if not learns] == []
        assert last < 0.6 * first

    def test_draws_are_those_of_the_seed_and_the_samples(self, tiny_model, tiny_samples):
        first = losses_of(tiny_model, tiny_samples, seed=1, training=True)
        torch.randn(100)
        again = losses_of(tiny_model, tiny_samples, seed=1, training=True)
        other = losses_of(tiny_model, tiny_samples, seed=2, training=True)
        assert torch.equal(first["image"], again["image"])
        assert not torch.equal(first["image"], other["image"])

    def test_the_loss_weighs_the_means_of_the_heads(self, make_model, tiny_samples, monkeypatch):
        model = make_model(loss_weights={"image": 0.25})
        logged = {}
        monkeypatch.setattr(model, "log", lambda name, value, **options: logged.update({name: float(value)}))
        assembly = model.assemble(tiny_samples)
        model._trainer = type("Trainer", (), {"world_size": 1})()
        total = float(model._weigh(assembly, "val").detach())
        means = {name: float(value[0] / value[1]) for name, value in losses_of(model, tiny_samples).items()}
        assert total == pytest.approx(means["text"] + 0.25 * means["image"], rel=1e-5)
        assert logged["val_text"] == pytest.approx(means["text"], rel=1e-5)
        assert logged["val_loss"] == pytest.approx(total, rel=1e-6)


class TestRefusals:
    def test_a_task_without_its_head(self, make_model, tiny_samples):
        model = make_model(heads={"text": next_token()})
        with pytest.raises(UsageError, match="task 'draw' needs the head 'image', which the model"):
            model.assemble(tiny_samples)
        losses_of(model, [sample for sample in tiny_samples if sample.task != "draw"])

    def test_too_many_words(self, make_model, tiny_samples):
        with pytest.raises(UsageError, match=r"text positions, the model holds 8; raise model\.max_text"):
            losses_of(make_model(max_text=8), tiny_samples)

    def test_not_fitted(self):
        model = UnifiedModel(
            single(),
            {"text": tiny.word(), "image": patch(8, 4)},
            block=dense(4),
            heads={"text": next_token()},
            connectors={"image": linear()},
        )
        with pytest.raises(UsageError, match="tokenizer 'text' is not fitted"):
            model.configure_model()


class TestBuild:
    def test_layers_do_not_share_weights(self, make_model):
        first, second = make_model(stirred=False).blocks
        for one, other in zip(first.parameters(), second.parameters(), strict=True):
            assert one.data_ptr() != other.data_ptr()
            if one.dim() > 1 and bool(one.any()):
                assert not torch.equal(one, other)

    def test_once(self, tiny_model):
        weight = tiny_model.vocabulary.embedding.weight
        tiny_model.build()
        assert tiny_model.vocabulary.embedding.weight is weight

    def test_no_time_where_no_head_needs_it(self, make_model):
        model = make_model(heads={"text": next_token()})
        assert model.condition_dim == 0
        assert not hasattr(model, "time_embedding")

    def test_the_optimizer_has_every_parameter_once(self, tiny_model):
        optimizer = Optimization().configure(tiny_model, 10)["optimizer"]
        ids = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert sorted(ids) == sorted(map(id, tiny_model.parameters()))


class TestEmbeddingScale:
    def test_tables_start_smaller_and_all_else_the_same(self, make_model):
        usual, small = make_model(stirred=False), make_model(stirred=False, embedding_std=0.1)
        other = dict(small.named_parameters())
        for name, value in usual.named_parameters():
            table = name.startswith(("vocabulary.embedding", "positions.", "queries."))
            torch.testing.assert_close(other[name], value * 0.1 if table else value)
        assert abs(float(small.vocabulary.embedding.weight.std()) - 0.1) < 0.02

    def test_it_must_be_above_zero(self, make_model):
        with pytest.raises(UsageError, match="embedding_std must be above 0, not 0"):
            make_model(embedding_std=0)
