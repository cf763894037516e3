from __future__ import annotations

import torch

from mmgraph.sequence import MODALITIES
from mmgraph.vocabulary import BOI, EOS, MARKERS, MASK, NULL, PAD, Vocabulary


def test_every_id_has_one_owner():
    vocabulary = Vocabulary({"text": 5, "image": 7}, 8)
    text, image = vocabulary.ids("text", torch.arange(5)), vocabulary.ids("image", torch.arange(7))
    owned = [*range(len(MARKERS)), *text.tolist(), *image.tolist()]
    assert owned == list(range(vocabulary.size))
    assert vocabulary.embedding.weight.shape == (vocabulary.size, 8)
    assert torch.equal(vocabulary.codes("image", image), torch.arange(7))


def test_markers_are_distinct():
    assert PAD == 0
    assert len(set(MARKERS)) == len(MARKERS)
    assert MARKERS[MASK] == "<mask>"
    assert [MARKERS[NULL[name]] for name in MODALITIES] == [f"<no {name}>" for name in MODALITIES]


def test_allowed_ids():
    vocabulary = Vocabulary({"text": 5, "image": 7}, 8)
    allowed = vocabulary.allowed("text", EOS, BOI)
    assert set(allowed.nonzero().flatten().tolist()) == {EOS, BOI, *range(len(MARKERS), len(MARKERS) + 5)}


def test_logits_are_products_with_the_output_matrix():
    vocabulary = Vocabulary({"text": 5}, 8)
    hidden = torch.randn(2, 3, 8)
    torch.testing.assert_close(
        vocabulary.logits(hidden), torch.einsum("bld,vd->blv", hidden, vocabulary.output.weight)
    )
    assert torch.equal(vocabulary.embed(torch.tensor([3])), vocabulary.embedding.weight[3:4])
