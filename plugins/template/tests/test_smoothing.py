import torch
from mmgraph_template.smoothing import SmoothingDenoiser

from mmgraph.testing import assert_conforms


def test_keeps_the_contract():
    assert_conforms("denoisers", SmoothingDenoiser)


def test_a_far_pixel_is_not_seen():
    denoiser = SmoothingDenoiser(4)
    denoiser.build(1, (8, 8), 2)
    torch.nn.init.ones_(denoiser.output.weight)
    x, other = torch.zeros(2, 1, 1, 8, 8)
    other[..., 7] = 1
    found, changed = (denoiser(shown, torch.ones(1), torch.zeros(1, 1, 2)) for shown in (x, other))
    assert torch.equal(found[..., :5], changed[..., :5])
    assert not torch.equal(found[..., 5:], changed[..., 5:])
