from __future__ import annotations

import pytest
import torch

from mmgraph.errors import UsageError
from mmgraph.heads import Prepared, regression
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import Codes, Vectors
from mmgraph.vocabulary import Vocabulary


def built(**options):
    head = regression(**options)
    head.build(Vectors(), Vocabulary({}, 8), 8, 0)
    return head


def test_contract():
    assert_conforms("heads", regression)
    assert_conforms("heads", regression, lambda: regression("cosine"))


class TestLoss:
    def prepared(self):
        tokens = torch.randn(3, 4, 16)
        return Prepared(tokens, tokens, torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) < 0.6)

    def test_squared(self):
        head, prepared, hidden = built(), self.prepared(), torch.randn(3, 4, 8)
        total, count = head.loss(hidden, prepared)
        given = hidden @ head.output.weight.T + head.output.bias
        expected = ((given - prepared.targets) ** 2).mean(-1)[prepared.score_mask].mean()
        torch.testing.assert_close(total / count, expected)

    def test_cosine_does_not_see_the_length(self):
        head, prepared, hidden = built(distance="cosine"), self.prepared(), torch.randn(3, 4, 8)
        given = hidden @ head.output.weight.T + head.output.bias
        unit = lambda x: x / x.norm(dim=-1, keepdim=True)  # noqa: E731
        expected = (1 - (unit(given) * unit(prepared.targets)).sum(-1))[prepared.score_mask].sum()
        torch.testing.assert_close(head.loss(hidden, prepared)[0], expected)
        torch.testing.assert_close(head.predict(hidden).norm(dim=-1), torch.full((3, 4), 16**0.5))

    def test_the_least_squared_error_is_at_the_conditional_mean(self):
        """Fitted on x_2 = A x_1 + noise it gives A x_1: the average of what may come."""
        head = built()
        generator = torch.Generator().manual_seed(0)
        first, table = torch.randn(4000, 1, 8, generator=generator), torch.randn(8, 16, generator=generator)
        following = first @ table + torch.randn(4000, 1, 16, generator=generator)
        optimizer = torch.optim.LBFGS(head.parameters(), max_iter=50)
        prepared = Prepared(following, following, torch.ones(4000, 1, dtype=torch.bool))

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            total, count = head.loss(first, prepared)
            (total / count).backward()
            return total / count

        optimizer.step(closure)
        torch.testing.assert_close(head.output.weight.T, table, atol=0.1, rtol=0.1)


def test_each_vector_is_read_to_give_the_next():
    seen = []

    def run(last: torch.Tensor, time: None) -> torch.Tensor:
        seen.append(last.clone())
        return last[:, -1] * 2 if last.numel() else torch.ones(2, 3)

    steps = list(built().sample(run, (2, 3), num_steps=4, random=SampleRandom(0, (0, 1))))
    assert [step.shape[1] for step in steps] == [1, 2, 3, 4]
    assert steps[-1][0, :, 0].tolist() == [1, 2, 4, 8]
    assert [last.shape for last in seen] == [(2, 0, 3), (2, 1, 3), (2, 1, 3), (2, 1, 3)]


def test_codes_are_refused():
    with pytest.raises(UsageError, match="regression head models vectors, but Codes gives codes"):
        regression().build(Codes(), Vocabulary({}, 8), 8, 0)
