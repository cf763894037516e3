"""Any encoder of timm by its name, frozen or trained; random weights, a local file, or the hub's."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import RunError, UsageError, nearest
from mmgraph.pictures import to_float
from mmgraph.tokenizers import Tokenizer
from mmgraph_tokenizers.standardizer import Standardizer


class TimmTokenizer(Tokenizer):
    r"""The last feature map of a timm model, one token per place; standardised, and not decodable.

    Pictures are brought to `input_size` and normalised as the model was trained.

    Shapes:
        `(N, C, S, S)` uint8 to `(N, rows x columns, d)` float; the model decides rows, columns and d.

    Args:
        model: A name of `timm.list_models()`, for example `resnet18` or `vit_tiny_patch16_224`.
        input_size: Pixels that pictures are brought to; larger gives more tokens and costs more.
        weights: `none` (random), `hub` (downloaded by timm), or the path of a `.safetensors`, `.pth` or `.pt` file.
        frozen: Whether the features stay as they are; random ones must not.

    Raises:
        UsageError: If timm has no such model, or random weights are used frozen.
        RunError: If weights cannot be loaded.

    Reference:
        Wightman, PyTorch Image Models, 2019 (https://github.com/huggingface/pytorch-image-models).
    """

    modality = "image"
    discrete = False
    decodes = False

    _mean: Tensor
    _std: Tensor

    def __init__(
        self, model: str = "resnet10t", input_size: int = 64, *, weights: str = "none", frozen: bool = True
    ) -> None:
        super().__init__()
        self.model = model
        self.input_size = input_size
        self.random = weights == "none"
        self.frozen = frozen
        self.network = _create(model, input_size, weights)
        self.network.requires_grad_(not frozen)
        config = self.network.pretrained_cfg
        self.register_buffer("_mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(config["std"]).view(3, 1, 1), persistent=False)
        self.prefix = int(getattr(self.network, "num_prefix_tokens", 0))
        with torch.no_grad():
            sample = self.network.eval().forward_features(torch.zeros(1, 3, input_size, input_size))
        self.channels_last = sample.ndim == 4 and sample.shape[-1] == self.network.num_features
        _, self._rows, self._columns, self._width = self._to_map(sample).shape
        self.standardizer = Standardizer()

    @property
    def fitted(self) -> bool:
        """Whether the features' statistics are known."""
        return self.standardizer.fitted

    @property
    def token_dim(self) -> int:
        """Channels of the feature map."""
        return self._width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self._rows, self._columns

    @property
    def num_tokens(self) -> int:
        """Places of the feature map."""
        return self._rows * self._columns

    def train(self, mode: bool = True) -> TimmTokenizer:
        """Switch to training; frozen features keep their batch statistics."""
        super().train(mode)
        self.network.train(mode and not self.frozen)
        return self

    def features(self, pictures: Tensor) -> Tensor:
        """Return the feature map as tokens in raster order; gradients flow."""
        size = (self.input_size, self.input_size)
        shown = pictures.expand(-1, 3, -1, -1)
        if tuple(shown.shape[2:]) != size:
            shown = F.interpolate(shown, size=size, mode="bilinear", antialias=shown.shape[-1] > self.input_size)
        shown = ((shown + 1) / 2 - self._mean) / self._std
        return self._to_map(self.network.forward_features(shown)).flatten(1, 2)

    def fit(self, contents: Iterable[Tensor]) -> None:
        """Measure the features that training starts from.

        Raises:
            UsageError: If they would stay random.
        """
        if self.frozen and self.random:
            raise UsageError(
                f"the weights of timm's {self.model} are random and frozen; set `weights` to a file or `hub`, or "
                "frozen: false to train it with the model."
            )
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
        raise UsageError("the timm tokenizer only sees; draw with a tokenizer that decodes.")

    def _to_map(self, features: Tensor) -> Tensor:
        """Return `(N, rows, columns, d)` of whatever a timm model gives."""
        if features.ndim == 3:  # transformers: class tokens, then a square of patches
            patches = features[:, self.prefix :]
            side = round(patches.shape[1] ** 0.5)
            return patches.unflatten(1, (side, patches.shape[1] // side))
        return features if self.channels_last else features.permute(0, 2, 3, 1)


def _create(name: str, input_size: int, weights: str) -> Any:
    import timm

    if not timm.is_model(name):
        raise UsageError(f"timm has no model '{name}'. {nearest(name, timm.list_models())}")
    options: dict[str, Any] = {"num_classes": 0}
    if name.startswith(("vit", "deit", "swin", "eva", "beit")) or "img_size" in _parameters(name):
        options["img_size"] = input_size
    try:
        if weights in ("none", "hub"):
            return timm.create_model(name, pretrained=weights == "hub", **options)
        network = timm.create_model(name, pretrained=False, **options)
        network.load_state_dict(_read(Path(weights)), strict=False)
        return network
    except (OSError, RuntimeError) as error:
        raise RunError(f"timm's {name} cannot be made with weights '{weights}': {str(error)[:300]}") from error


def _parameters(name: str) -> Any:
    import timm

    return inspect.signature(timm.model_entrypoint(name)).parameters


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(f"weights: there is no file {path}; give a .safetensors or .pth file, `hub` or `none`.")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    state = torch.load(path, weights_only=True, map_location="cpu")
    return state.get("state_dict", state) if isinstance(state, dict) else state
