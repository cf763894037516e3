from __future__ import annotations

import math

import pytest
import torch
from lightning import Trainer
from torch.nn import functional as F

from mmgraph.blocks import dense
from mmgraph.errors import RunError, UsageError
from mmgraph.evaluation.record import visual_tokens
from mmgraph.models import Contrastive, Optimization, load, save
from mmgraph.models.contrastive import pairs
from mmgraph.testing.stand_ins import pictures
from mmgraph.tokenizers import byte, patch, vit
from tests import tiny
from tests.evaluation.world import Squares


def model(**options):
    torch.manual_seed(0)
    image = vit(8, 4, width=16, depth=1, num_heads=2)
    arguments = {
        "block": dense(2), "dim": 16, "depth": 1, "embedding_dim": 8, "max_text": 40,
        "optimization": Optimization(3e-3, warmup_steps=5), **options,
    }  # fmt: skip
    built = Contrastive({"image": image, "text": byte()}, **arguments)
    built.build()
    return built.eval()


def test_loss_is_the_formula_of_clip():
    built, shown = model(), torch.stack(pictures(3, 8))
    texts = ["red", "a green one", "blue"]
    u, v = built.embed_pictures(shown), built.embed_texts(texts)
    logits = (u @ v.T) / 0.07
    target = torch.arange(3)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(built.loss(shown, texts)[0], expected)


def test_equal_captions_share_their_weight():
    built, shown = model(), torch.stack(pictures(3, 8))
    texts = ["red", "blue", "red"]
    u, v = built.embed_pictures(shown), built.embed_texts(texts)
    rows = ((u @ v.T) / 0.07).log_softmax(1)
    columns = ((v @ u.T) / 0.07).log_softmax(1)
    share = torch.tensor([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]])
    expected = -((share * rows).sum() + (share * columns).sum()) / 6
    torch.testing.assert_close(built.loss(shown, texts)[0], expected)


def test_a_caption_alone_is_the_same_in_a_batch():
    built = model()
    together = built.embed_texts(["a", "a much longer caption", "b"])
    torch.testing.assert_close(together[0], built.embed_texts(["a"])[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))


def test_the_record_finds_its_picture_tokens():
    assert visual_tokens(model()) == 4


def test_learns_to_match_and_is_saved(tmp_path):
    built = model()
    data = Squares({"draw": 1}, count=40)
    held_out = pairs(data.evaluation("val", "draw"))
    before = float(built.loss(*held_out)[0])
    trainer = Trainer(
        max_steps=60, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(built, datamodule=data)
    assert float(built.loss(*held_out)[0].detach()) < before - 0.3
    assert built.tokenizer("image").fitted
    save(built, tmp_path / "model")
    again = load(tmp_path / "model")
    torch.testing.assert_close(again.similarities(*held_out), built.eval().similarities(*held_out))
    frozen = vit(8, 4, width=16, depth=1, num_heads=2, weights=f"run:{tmp_path / 'model'}")
    tokens = frozen.encode(held_out[0])
    torch.testing.assert_close(tokens, again.tokenizer("image").encode(held_out[0]))
    assert not tokens.requires_grad


def test_scale_starts_at_the_temperature_of_clip():
    assert math.exp(model().log_scale) == pytest.approx(1 / 0.07)


def test_refuses():
    with pytest.raises(UsageError, match="two tokenizers"):
        Contrastive({"image": patch(8, 4)}, block=dense(2))
    with pytest.raises(UsageError, match="a caption has 51 tokens, the model holds 40"):
        model().embed_texts(["x" * 50])
    with pytest.raises(RunError, match="this batch has none"):
        pairs([sample for sample in tiny.samples() if sample.task == "ask"])
    plain = Contrastive({"image": patch(8, 4), "text": byte()}, block=dense(2), dim=16)
    plain.build()
    with pytest.raises(UsageError, match="no features to train"):
        plain.embed_pictures(torch.stack(pictures(1, 8)))
