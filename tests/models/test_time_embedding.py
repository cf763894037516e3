from __future__ import annotations

import torch

from mmgraph.models.time_embedding import TimeEmbedding


def test_features_tell_times_apart_from_coarse_to_fine():
    embedding = TimeEmbedding(16)
    assert float(embedding.rates.min()) == 1
    assert 900 < float(embedding.rates.max()) < 1100
    times = torch.linspace(0, 1, 101)
    features = torch.cat([f(times[:, None] * embedding.rates) for f in (torch.sin, torch.cos)], dim=-1)
    assert float(features.abs().max()) <= 1
    # the slowest pair does not wrap around: over [0, 1] its sine only grows
    assert (features[1:, 0] > features[:-1, 0]).all()
    distance = torch.cdist(features, features) + torch.eye(101) * 9
    assert float(distance.min()) > 0.5
    assert embedding(times).shape == (101, 16)
