from __future__ import annotations

import torch

from mmgraph.randomness import SampleRandom


def test_draws_depend_on_seed_and_key_alone():
    both, one = SampleRandom(3, [5, 9]), SampleRandom(3, [9])
    assert torch.equal(both.normal(4)[1], one.normal(4)[0])
    assert torch.equal(both.uniform()[1], one.uniform()[0])
    assert not torch.equal(SampleRandom(4, [9]).normal(4), SampleRandom(3, [9]).normal(4))
    assert not torch.equal(SampleRandom(3, [8]).normal(4), SampleRandom(3, [9]).normal(4))


def test_seeds_and_keys_do_not_collide():
    # neighbours in seed and key must not share a stream, as seed + key would
    first = {float(SampleRandom(seed, [key]).normal()) for seed in range(40) for key in range(40)}
    assert len(first) == 1600


def test_selected_streams_go_on():
    whole, part = SampleRandom(0, [1, 2, 3]), SampleRandom(0, [1, 2, 3])
    first, second = whole.normal(), whole.normal()
    assert torch.equal(part.select([2, 0]).normal(), first[[2, 0]])
    assert torch.equal(part.select([2]).normal(), second[[2]])


def test_the_draws_of_many_keys_are_normal_and_uniform():
    draws = SampleRandom(0, range(4000))
    normal, uniform = draws.normal(), draws.uniform()
    assert abs(float(normal.mean())) < 0.06
    assert abs(float(normal.std()) - 1) < 0.05
    assert abs(float(uniform.mean()) - 0.5) < 0.02
    assert abs(float(torch.corrcoef(torch.stack((normal[1:], normal[:-1])))[0, 1])) < 0.06


def test_no_rows():
    assert SampleRandom(0, []).normal(3).shape == (0, 3)
    assert SampleRandom(0, []).uniform().shape == (0,)


def test_libraries_draw_from_the_same_streams() -> None:
    own, lent = SampleRandom(3, (5, 9)), SampleRandom(3, (5, 9))
    drawn = torch.stack([torch.randn(4, generator=generator) for generator in lent.generators])
    assert torch.equal(drawn, own.normal(4))
    assert torch.equal(lent.normal(2), own.normal(2))  # and they go on where the library stopped
    assert torch.equal(own.select([1]).generators[0].get_state(), own.generators[1].get_state())
