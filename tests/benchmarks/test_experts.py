from __future__ import annotations

import pytest

from tests.benchmarks import cases, experts, peers
from tests.benchmarks.sizes import FULL


@pytest.mark.parametrize("name", ["by_modality", "by_role", "topk"])
def test_each_position_meets_as_many_parameters_as_in_the_dense_model(name: str) -> None:
    routed, dense = getattr(experts, name)(FULL), experts.shared(FULL)
    assert abs(routed.parameters / dense.parameters - 1) < 0.01


def test_the_routed_layers_are_of_one_size() -> None:
    pytest.importorskip(cases.TRANSFORMERS)
    assert experts.layer(FULL).parameters == peers.mixtral(FULL).parameters
