"""Top-k experts: Mixtral's numbers, the closed forms of both losses, what is logged, copies of a dense block."""

from __future__ import annotations

import pytest
import torch
from lightning import Trainer
from mmgraph_blocks.moe_topk import balance_loss, router_z_loss
from torch.nn import functional as F

from mmgraph.blocks import dense, moe_topk
from mmgraph.errors import UsageError
from mmgraph.models import StartFrom, UnifiedModel, save
from mmgraph.sequence import MultimodalSequence, Piece, lay_out
from mmgraph.testing import assert_conforms
from mmgraph.testing.suite import stir
from mmgraph.tokenizers import byte, patch
from tests import tiny
from tests.evaluation.world import Squares

DIM, HEADS = 16, 4


def built(**options):
    block = moe_topk(HEADS, **options)
    block.build(DIM, 0)
    stir(block)
    return block.eval()


def test_contract():
    assert_conforms("blocks", moe_topk)
    assert_conforms("blocks", moe_topk, lambda: moe_topk(4, 3, top_k=1, balance_weight=0.0))
    assert_conforms("blocks", moe_topk, lambda: moe_topk(4, 3, top_k=1, normalized=False))


@pytest.mark.parametrize(("num_experts", "top_k"), [(8, 2), (4, 1), (3, 3)])
def test_equals_the_mixtral_block(num_experts, top_k):
    mixtral = pytest.importorskip("transformers.models.mixtral.modeling_mixtral")
    from transformers import MixtralConfig

    block = built(num_experts=num_experts, top_k=top_k)
    inner = block.experts[0].down.in_features
    theirs = mixtral.MixtralSparseMoeBlock(
        MixtralConfig(
            hidden_size=DIM, intermediate_size=inner, num_local_experts=num_experts, num_experts_per_tok=top_k
        )
    ).eval()
    with torch.no_grad():
        theirs.gate.weight.copy_(block.router.weight)
        theirs.experts.gate_up_proj.copy_(torch.stack([own.gate_and_up.weight for own in block.experts]))
        theirs.experts.down_proj.copy_(torch.stack([own.down.weight for own in block.experts]))
    tokens = torch.randn(3, 11, DIM)
    layout, _ = lay_out([[(Piece(11),)]] * 3)
    mine, given = tokens.clone().requires_grad_(), tokens.clone().requires_grad_()
    found, _ = block._feed_forward(mine, layout)
    expected = theirs(given)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(tokens)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(mine.grad, given.grad, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(block.router.weight.grad, theirs.gate.weight.grad, atol=1e-5, rtol=1e-4)
    for number, own in enumerate(block.experts):
        torch.testing.assert_close(own.down.weight.grad, theirs.experts.down_proj.grad[number], atol=1e-5, rtol=1e-4)


def test_the_balance_is_that_of_mixtral_for_each_choice():
    """There the shares are of tokens, and sum to k; here they are of choices, and sum to 1."""
    mixtral = pytest.importorskip("transformers.models.mixtral.modeling_mixtral")
    logits = torch.randn(40, 6)
    chosen = logits.softmax(-1).topk(2).indices
    expected = mixtral.load_balancing_loss_func((logits,), 6, 2)
    torch.testing.assert_close(2 * balance_loss(logits.softmax(-1), chosen), expected)


class TestLosses:
    def test_even_routing_has_balance_one(self):
        chosen = torch.arange(8).repeat(3)[:, None]
        torch.testing.assert_close(balance_loss(torch.full((24, 8), 1 / 8), chosen), torch.tensor(1.0))

    def test_one_expert_for_all_has_balance_n(self):
        probabilities = F.one_hot(torch.zeros(24, dtype=torch.long), 8).float()
        torch.testing.assert_close(balance_loss(probabilities, torch.zeros(24, 1, dtype=torch.long)), torch.tensor(8.0))

    def test_half_and_half(self):
        """f = (3/4, 1/4), P = (0.6, 0.4): 2 (0.45 + 0.1) = 1.1."""
        probabilities = torch.tensor([[0.6, 0.4]]).expand(4, 2)
        chosen = torch.tensor([[0], [0], [0], [1]])
        torch.testing.assert_close(balance_loss(probabilities, chosen), torch.tensor(1.1))

    def test_the_z_loss_of_equal_logits(self):
        """The log-partition of N logits c is c + log N."""
        expected = (2.0 + torch.tensor(8.0).log()) ** 2
        torch.testing.assert_close(router_z_loss(torch.full((5, 8), 2.0)), expected)

    def test_both_carry_their_weights_and_leave_padding_out(self):
        layout, _ = lay_out([[(Piece(7),)], [(Piece(3),)]])
        block = built(balance_weight=0.5, router_z_weight=0.25)
        read = torch.randn(2, 7, DIM)
        real = read[layout.valid]
        found, losses = block._feed_forward(read, layout)
        logits = block.router(real)
        expected = balance_loss(logits.softmax(-1), logits.topk(2).indices)
        torch.testing.assert_close(losses["balance"], 0.5 * expected)
        torch.testing.assert_close(losses["router_z"], 0.25 * router_z_loss(logits))
        assert not found[~layout.valid].any()
        assert (block.route(layout)[~layout.valid] == -1).all()

    def test_off(self):
        layout, _ = lay_out([[(Piece(7),)]])
        block = built(balance_weight=0.0, router_z_weight=0.0)
        assert block._feed_forward(torch.randn(1, 7, DIM), layout)[1] == {}

    def test_the_balance_loss_balances(self):
        """A router that prefers two of four experts spreads over all when only this loss is followed."""
        torch.manual_seed(0)
        logits = (torch.randn(256, 4) + torch.tensor([3.0, 2.0, 0.0, 0.0])).requires_grad_()
        optimizer = torch.optim.Adam([logits], 0.05)
        first = last = 0.0
        for _ in range(150):
            probabilities = logits.softmax(-1)
            loss = balance_loss(probabilities, probabilities.topk(2).indices)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            first, last = first or float(loss.detach()), float(loss.detach())
        share = torch.bincount(logits.topk(2).indices.flatten(), minlength=4) / 512
        assert first > 1.4
        assert last < 1.1
        assert float(share.max()) < 0.35


class TestStatistics:
    def told(self, chosen, modality, probabilities):
        block = built(num_experts=4)
        block._seen = torch.tensor(probabilities), torch.tensor(chosen), torch.tensor(modality)
        return {name: float(value) for name, value in block.statistics().items()}

    def test_experts_by_modality(self):
        """Texts to experts 0 and 1, pictures to 2 and 3, each for sure."""
        told = self.told([[0], [1], [2], [3]], [0, 0, 1, 1], torch.eye(4).tolist())
        assert told == {"load_max": 1.0, "load_min": 1.0, "routing_entropy": 0.0, "modality_purity": 1.0}

    def test_one_expert_for_all(self):
        told = self.told([[0]] * 4, [0, 0, 0, 1], [[0.25] * 4] * 4)
        assert told["load_max"] == 4.0
        assert told["load_min"] == 0.0
        assert told["routing_entropy"] == pytest.approx(torch.tensor(4.0).log().item())
        assert told["modality_purity"] == 0.75

    def test_nothing_before_training_and_nothing_from_evaluation(self):
        block = built()
        layout, _ = lay_out([[(Piece(5),)]])
        sequence = MultimodalSequence(torch.randn(1, 5, DIM), layout)
        block(sequence.embeddings, sequence)
        assert block.statistics() == {}
        block.train()(sequence.embeddings, sequence)
        assert block.statistics()["load_max"] >= 1

    def test_they_and_the_losses_are_logged_at_each_step(self, tmp_path):
        model = tiny.model(
            tokenizers={"text": byte(), "image": patch(8, 4)}, block=moe_topk(4, 4), stirred=False
        ).train()
        trainer = Trainer(
            max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(model, datamodule=Squares())
        found = {name: float(value) for name, value in trainer.logged_metrics.items()}
        assert found["train_balance"] == pytest.approx(2 * 0.01, rel=0.5)  # two layers, near even at the start
        assert 0 < found["train_router_z"] < 0.1
        assert 1 <= found["train_load_max"] <= 4
        assert 0 <= found["train_load_min"] <= 1
        assert 0.25 <= found["train_modality_purity"] <= 1
        assert 0 < found["train_routing_entropy"] <= 1.4
        terms = [found[f"train_{name}"] for name in ("text", "image", "balance", "router_z")]
        assert found["train_loss"] == pytest.approx(sum(terms), rel=1e-5)


def test_start_as_copies_of_a_dense_model(tmp_path):
    """Equal experts give the dense feed-forward whatever the router says, as the weights of a token sum to 1."""
    other = tiny.model()
    save(other, tmp_path / "other")
    origin = f"run:{tmp_path / 'other'}"
    torch.manual_seed(5)
    model = UnifiedModel(
        **{
            **other._arguments,
            "block": moe_topk(4, 4, mlp_ratio=4.0),
            "start_from": [StartFrom(origin), StartFrom(origin, "blocks.*.experts.*", "blocks.*")],
        }
    )
    model.configure_model()
    batch = tiny.samples()
    found, expected = (one.losses(one.assemble(batch))[0] for one in (model, other))
    for head, (total, _) in expected.items():
        torch.testing.assert_close(found[head][0], total, rtol=1e-5, atol=1e-4)


def test_a_position_meets_as_many_weights_as_in_a_dense_block():
    block, other = moe_topk(HEADS, 8, top_k=2, mlp_ratio=2.0), dense(HEADS, 4.0)
    for one in (block, other):
        one.build(96, 0)
    router = block.router.weight.numel()
    assert block.active_parameters == sum(p.numel() for p in other.parameters()) + router


@pytest.mark.parametrize("top_k", [1, 2])
def test_weights_that_are_not_normalized_are_the_probabilities(top_k):
    block = built(num_experts=4, top_k=top_k, normalized=False).spawn()
    assert not block.normalized
    block.build(DIM, 0)
    tokens = torch.randn(2, 7, DIM)
    layout, _ = lay_out([[(Piece(7),)]] * 2)
    found, _ = block._feed_forward(tokens, layout)
    probabilities = block.router(tokens).softmax(-1)
    every = torch.stack([expert(tokens) for expert in block.experts], dim=-2)  # (B, L, N, D)
    kept = probabilities * (probabilities >= probabilities.topk(top_k, dim=-1).values[..., -1:])
    torch.testing.assert_close(found, (kept[..., None] * every).sum(-2), atol=1e-5, rtol=1e-5)


def test_the_task_trains_the_router_of_one_expert_only_by_its_probability():
    tokens = torch.randn(2, 7, DIM)
    layout, _ = lay_out([[(Piece(7),)]] * 2)
    slopes = {}
    for normalized in (True, False):
        block = built(num_experts=4, top_k=1, normalized=normalized)
        found, _ = block._feed_forward(tokens, layout)
        (slope,) = torch.autograd.grad(found.square().sum(), [block.router.weight])
        slopes[normalized] = float(slope.norm())
    assert slopes[True] < 1e-4 * slopes[False]


@pytest.mark.parametrize("top_k", [0, 9])
def test_choices_that_cannot_be(top_k):
    with pytest.raises(UsageError, match=f"top_k {top_k} of 8 experts cannot be"):
        moe_topk(top_k=top_k)
