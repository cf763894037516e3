"""What comes back through an autoencoder's tokens, measured on a world with an oracle."""

from __future__ import annotations

import json
import math

import pytest
import torch
import yaml

from mmgraph import models
from mmgraph.datasets import shapes
from mmgraph.evaluation import autoencoding, evaluate, schema, write_report
from mmgraph.evaluation.examples import captions
from mmgraph.models import Autoencoder
from mmgraph.pictures import to_float
from mmgraph.tokenizers import ae, vq

DATA = {"image_size": 16, "num_scenes": 60, "tasks": {"draw": 1.0}, "evaluation_scenes": 12}


def trained(cls=vq, **options):
    torch.manual_seed(0)
    tokenizer = cls(16, 4, latent_dim=8, width=16, **options)
    pictures = torch.stack(list(shapes(8, **DATA).contents("image")))
    tokenizer.reconstruct(to_float(pictures))
    tokenizer.standardize(list(pictures))
    return tokenizer.eval()


@pytest.fixture
def make_run(tmp_path):
    def make(tokenizer):
        data = {"class_path": "mmgraph.datasets.shapes", "init_args": {"batch_size": 8, **DATA}}
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "metrics.csv").write_text("step,train_loss,val_loss\n0,3.0,\n1,2.5,2.8\n")
        text = "# recipe: squares\n" + yaml.safe_dump({"seed_everything": 0, "data": data})
        (tmp_path / "config.yaml").write_text(text)
        models.save(Autoencoder(tokenizer), tmp_path / "model")
        return tmp_path

    return make


def test_a_discrete_tokenizer_is_measured_and_reported(make_run):
    tokenizer = trained(num_codes=32)
    run = make_run(tokenizer)
    found = evaluate(run, limit=6, metrics=["retrieval"])
    schema.check(found)
    assert found["generation"] == found["understanding"] == found["losses"] == {}
    for population in ("trained", "unseen"):
        scores = found["reconstruction"][population]
        assert {"rmse", "psnr", "codebook_use", "perplexity", "bits", "recall_at_1", "oracle_all"} <= set(scores)
        assert scores["bits"]["value"] == 16 * 5
        assert 1 <= scores["perplexity"]["value"] <= 32
        # random weights: nothing can be read any more, while true pictures are read without a mistake
        assert scores["oracle_colour"]["baselines"]["real"] == scores["oracle_all"]["baselines"]["real"] == 1.0
        assert scores["oracle_all"]["value"] < 0.5
        assert scores["rmse"]["ci95"][0] <= scores["rmse"]["value"] <= scores["rmse"]["ci95"][1]
        assert set(scores) <= set(found["legend"])
    assert found["legend"]["oracle_colour"]["label"] == "Oracle: colour"
    page = (run / "report.html").read_text()
    assert "turns pictures into tokens and back" in page
    assert "What came back" in page
    assert "What it drew" not in page
    assert 'alt="Reconstructed:' in page
    assert (run / "samples.png").stat().st_size > 0
    items = json.loads((run / "items.json").read_text())
    assert set(items) == {"reconstruction.trained.psnr", "reconstruction.unseen.psnr"}
    write_report(run)
    assert (run / "report.html").read_text() == page


def test_a_continuous_tokenizer_has_no_codes_to_count(make_run):
    scores = evaluate(make_run(trained(ae)), limit=4, metrics=[])["reconstruction"]["unseen"]
    assert "psnr" in scores
    assert not {"codebook_use", "perplexity", "bits"} & set(scores)


def test_numbers_are_what_they_say():
    dataset, tokenizer = shapes(8, **DATA), trained(num_codes=32)
    chosen = captions(dataset, "test", 5)
    drawn, scores = autoencoding.measure(tokenizer, chosen, [], [], dataset=dataset)
    true = torch.stack([caption.picture for caption in chosen])
    tokens = tokenizer.encode(true)
    error = (tokenizer.decode(tokens).double() - true.double()).square().mean().sqrt()
    assert scores["rmse"]["value"] == pytest.approx(float(error), rel=1e-5)
    assert torch.equal(drawn.drawn, tokenizer.decode(tokens))
    counts = torch.bincount(tokens.flatten(), minlength=32)
    share = counts[counts > 0] / tokens.numel()
    assert scores["perplexity"]["value"] == pytest.approx(math.exp(-float((share * share.log()).sum())), rel=1e-5)
    assert scores["codebook_use"]["value"] == pytest.approx(len(share) / 32)
    with_itself, clean = autoencoding.oracle(dataset, chosen, true)["oracle_shape"]
    assert with_itself.value == clean == 1.0
    damaged = true.clone()
    damaged[0] = 255
    score, _ = autoencoding.oracle(dataset, chosen, damaged)["oracle_shape"]
    assert score.value == pytest.approx(1 - 1 / len(chosen))
