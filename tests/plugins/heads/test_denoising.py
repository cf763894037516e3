from __future__ import annotations

import pytest
import torch

from mmgraph.denoisers import dit, mmdit
from mmgraph.errors import UsageError
from mmgraph.heads import ddpm, denoising, flow, next_token
from mmgraph.randomness import SampleRandom
from mmgraph.testing import assert_conforms
from mmgraph.testing.stand_ins import CONDITION_DIM, DIM, Codes, Vectors
from mmgraph.testing.suite import close, stir
from mmgraph.vocabulary import Vocabulary

ROWS, TOLD = 3, 5


def network():
    return dit(16, 1, num_heads=2, patch_size=1)


def built(objective=None, beside: bool = False, **options):
    head = denoising(network(), objective or flow(), **options)
    if beside:
        head.build_beside(Vectors(side=1))
    head.build(Vectors(), Vocabulary({"text": 3}, DIM), DIM, CONDITION_DIM)
    stir(head)
    return head.eval()


def hidden(rows: int = ROWS, generator_seed: int = 1) -> torch.Tensor:
    states = torch.randn(rows, TOLD, DIM, generator=torch.Generator().manual_seed(generator_seed))
    there = torch.ones(rows, TOLD, 1)
    there[0, 3:] = 0
    return torch.cat((states * there, there), dim=-1)


def prepared(head):
    tokens = torch.randn(ROWS, 4, 16, generator=torch.Generator().manual_seed(2))
    return head.prepare(tokens, random=SampleRandom(0, range(ROWS)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: denoising(network(), flow()),
        lambda: denoising(network(), flow("velocity"), reads="queries", width=24),
        lambda: denoising(mmdit(16, 1, num_heads=2, patch_size=1), ddpm("epsilon", num_levels=20), connector_depth=1),
        lambda: denoising(network(), ddpm(), connector_depth=1, connector_tokens=3, connector_heads=2),
    ],
)
def test_contract(make):
    assert_conforms("heads", denoising, make)


@pytest.mark.parametrize("objective", [flow(), flow("velocity"), ddpm("epsilon", min_snr_gamma=5.0)])
def test_the_loss_is_the_objectives_own(objective):
    """A built head of the objective, whose prediction is the denoiser's, gives the same number."""
    head = built(objective)
    given = prepared(head)
    told = head.predict(hidden())
    alone = type(objective)(**vars(objective)["_arguments"])
    alone.predict = lambda states, condition=None: head.denoise(given.inputs, given.time, told)
    wanted = alone.loss(hidden(), given)
    found = head.loss(hidden(), given)
    assert close(found[0], wanted[0], 1e-6)
    assert int(found[1]) == int(wanted[1]) == ROWS * 4


def test_tokens_lie_on_their_grid():
    head = built()
    seen = []
    head.denoiser.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    tokens = torch.arange(4.0)[None, :, None].expand(1, 4, 16)
    head.denoise(tokens, torch.zeros(1), head.predict(hidden(1)))
    assert seen[0].shape == (1, 16, 2, 2)
    assert seen[0][0, 0].tolist() == [[0, 1], [2, 3]]


def test_guidance_mixes_predictions_and_not_what_is_told():
    head = built()
    given = prepared(head)
    pair = [head.denoise(given.inputs, given.time, head.predict(hidden(generator_seed=seed))) for seed in (1, 2)]
    both = torch.cat([head.predict(hidden(generator_seed=seed)) for seed in (1, 2)])
    halves = head.denoise(given.inputs.repeat(2, 1, 1), given.time.repeat(2), both).chunk(2)
    assert close(head.guide(*halves, 3.0), pair[1] + 3.0 * (pair[0] - pair[1]), 1e-5)


def test_another_sampler_has_the_same_weights():
    head = built()
    other = head.with_sampler("FlowMatchHeunDiscreteScheduler")
    assert other.denoiser is head.denoiser
    assert other.objective.stepper is not None
    assert head.objective.stepper is None


class TestRegression:
    def test_the_denoiser_is_taught_with_the_true_tokens(self):
        """Only the regression reaches the hidden states; with `regressed` the denoiser's loss does too."""
        gradients = {}
        for taught in ("true", "regressed"):
            head = built(beside=True, reads="queries", taught=taught, regression_weight=0.0)
            given = prepared(head)
            given.beside = torch.randn(ROWS, TOLD, 16)
            states = hidden().requires_grad_()
            head.loss(states, given)[0].backward()
            gradients[taught] = states.grad[..., :-1]
        assert not gradients["true"].any()
        assert gradients["regressed"].any()

    def test_its_weight(self):
        head = built(beside=True, reads="queries")
        given = prepared(head)
        given.beside = torch.randn(ROWS, TOLD, 16)
        losses = []
        for weight in (0.0, 2.0):
            head.regression_weight = weight
            losses.append(head.loss(hidden(), given)[0])
        errors = (head.regressor(hidden()[..., :-1]) - given.beside).square().mean((1, 2)).sum()
        assert close(losses[1] - losses[0], 2 * 4 * errors, 1e-5)

    def test_drawing_reads_what_the_queries_have_become(self):
        head = built(beside=True, reads="queries")
        states = hidden(1)
        wanted, _ = head.connector(head.regressor(states[..., :-1]), states[..., -1] > 0.5)
        assert close(head.predict(states)[..., :-1], wanted * states[..., -1:], 1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="has the objective NextTokenHead; use"):
        denoising(network(), next_token())
    with pytest.raises(UsageError, match="to regress tokens of Vectors, but it reads the prompt"):
        built(beside=True)
    with pytest.raises(UsageError, match="keeps 3 learned vectors of 0 layers; give"):
        built(connector_tokens=3)
    with pytest.raises(UsageError, match="connector_heads 5 does not divide the connector's width 64"):
        built(connector_depth=1, connector_heads=5)
    with pytest.raises(UsageError, match="Codes gives codes"):
        denoising(network(), flow()).build(Codes(), Vocabulary({}, DIM), DIM, CONDITION_DIM)
