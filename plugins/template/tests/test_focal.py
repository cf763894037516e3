import torch
from mmgraph_template.focal import FocalHead
from torch.nn import functional as F

from mmgraph.heads import Prepared
from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("heads", FocalHead)


class Logits:
    def logits(self, hidden):
        return hidden


def loss(gamma, logits, targets):
    head = FocalHead(gamma)
    head._vocabulary = (Logits(),)
    total, count = head.loss(logits, Prepared(targets, targets, torch.ones_like(targets, dtype=torch.bool)))
    return total / count


def test_is_cross_entropy_weighted_by_what_is_missing():
    logits, targets = torch.randn(2, 3, 7), torch.randint(7, (2, 3))
    torch.testing.assert_close(
        loss(0.0, logits, targets), F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    )
    right = logits.softmax(-1).gather(-1, targets[..., None])
    torch.testing.assert_close(loss(2.0, logits, targets), -((1 - right) ** 2 * right.log()).mean())
