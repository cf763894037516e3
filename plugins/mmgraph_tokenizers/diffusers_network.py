"""diffusers' autoencoders behind the tokenizer contract: what the three of them share."""

from __future__ import annotations

import inspect
import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmgraph.errors import RunError, UsageError
from mmgraph.pictures import to_float, to_uint8
from mmgraph.tokenizers import Tokenizer

Options = dict[str, int | float | bool | str | list[int] | list[str] | None]
"""Arguments of a diffusers class, as its config.json holds them."""
FILES = ("config.json", "diffusion_pytorch_model.safetensors")
BATCH = 64


class DiffusersTokenizer(Tokenizer):
    """A diffusers autoencoder for pictures of one size.

    Args:
        image_size: Height and width S of the pictures.
        sizes: Arguments of the diffusers class that our constructor decides.
        options: More of its arguments; they go before `sizes`.
        weights: `none`, `zoo:NAME`, `run:DIR`, a folder in diffusers' layout (its config.json decides all
            arguments), or `hub:NAME`, which diffusers downloads.

    Raises:
        UsageError: If diffusers refuses the arguments, or they do not fit the pictures.
        RunError: If weights cannot be loaded.
    """

    modality = "image"
    name: ClassVar[str]
    """Its name among the tokenizers, for messages."""
    network_class: ClassVar[str]
    """Its class in diffusers."""

    def __init__(self, image_size: int, sizes: Mapping[str, Any], *, options: Options | None, weights: str) -> None:
        super().__init__()
        self.image_size = image_size
        self.trained = weights != "none"
        self.network = self._network({**sizes, **(options or {})}, weights)
        self.channels = int(self.network.config["in_channels"])
        with torch.no_grad():
            try:
                found = self.latents(torch.zeros(1, self.channels, image_size, image_size)).shape[2:]
            except RuntimeError as error:
                raise UsageError(
                    f"diffusers' {self.network_class} cannot read pictures of {image_size} px: {error}"
                ) from error
        self._grid = (int(found[0]), int(found[1]))
        self._measures: dict[str, Tensor] = {}

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the latents."""
        return self._grid

    @property
    def num_tokens(self) -> int:
        """Places of the latents."""
        return self.grid[0] * self.grid[1]

    @property
    def last_layer(self) -> Tensor:
        """Weights of the convolution that paints the pixels."""
        return [layer for layer in self.network.decoder.modules() if isinstance(layer, nn.Conv2d)][-1].weight

    def measures(self) -> dict[str, Tensor]:
        """Return what the last `reconstruct` measured."""
        return self._measures

    def load_trained(self, weights: str) -> None:
        """Take the tensors of a run, and freeze whatever has been trained."""
        if _is_run(weights):
            from mmgraph.models.saving import part_state

            self.load_state_dict(part_state(weights, "tokenizers.image"))
        if self.trained:
            self.requires_grad_(False)

    def fit(self, contents: Iterable[Tensor]) -> None:
        """Measure what trained weights make of training pictures; random weights are refused."""
        if not self.trained:
            raise UsageError(
                f"the {self.name} tokenizer is not trained. Train it with mmgraph.models.Autoencoder and set weights: "
                "run:DIR, or name a folder in diffusers' layout."
            )
        self.standardize(contents)

    @abstractmethod
    def latents(self, pictures: Tensor) -> Tensor:
        """Return `(N, d, rows, columns)` of floats in [-1, 1]."""

    def encoded(self, contents: Tensor) -> Tensor:
        """Return the latents of uint8 pictures.

        Raises:
            UsageError: If the pictures have another size.
        """
        if tuple(contents.shape[1:]) != (self.channels, self.image_size, self.image_size):
            raise UsageError(
                f"the {self.name} tokenizer was made for {self.channels} channels of {self.image_size} px, the data "
                f"set gives {tuple(contents.shape[1:])}; set image_size of both to one number."
            )
        return self.latents(to_float(contents))

    def painted(self, latents: Tensor) -> Tensor:
        """Return uint8 pictures of latents."""
        return to_uint8(self.paint(latents))

    @abstractmethod
    def paint(self, latents: Tensor) -> Tensor:
        """Return floats in [-1, 1] of latents."""

    def batches(self, contents: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield pictures as floats, some at a time."""
        for part in torch.stack(list(contents)).split(BATCH):
            yield to_float(part)

    def _network(self, arguments: dict[str, Any], weights: str) -> Any:
        import diffusers

        kind = getattr(diffusers, self.network_class)
        if weights == "none" or _is_run(weights):
            try:
                return kind(**arguments)
            except (TypeError, ValueError, RuntimeError) as error:
                raise UsageError(f"diffusers' {self.network_class} refuses its options: {error}") from error
        place = weights.removeprefix("hub:")
        if not weights.startswith("hub:"):
            _check(Path(place), self.network_class)
        try:
            network = kind.from_pretrained(
                place,
                local_files_only=not weights.startswith("hub:"),
                use_safetensors=True,
                low_cpu_mem_usage=False,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise RunError(f"weights {weights} cannot be loaded: {str(error)[:500]}") from error
        # what is saved names no folder: its arguments must build the same network again
        self.remember(options=_plain(network))
        return network


def norm_groups(widths: Sequence[int]) -> int:
    """Return how many groups divide every width: diffusers' 32, or the most that fit.

    Raises:
        UsageError: If there are no widths.
    """
    if not widths or min(widths) < 1:
        raise UsageError(f"widths {list(widths)} must be one positive number for each halving, and one more.")
    return next(groups for groups in (32, 16, 8, 4, 2, 1) if all(width % groups == 0 for width in widths))


def _is_run(weights: str) -> bool:
    return weights.startswith(("zoo:", "run:"))


def _check(folder: Path, wanted: str) -> None:
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise UsageError(
            f"there is no autoencoder in diffusers' layout in {folder}: {' and '.join(missing)} missing. Write one "
            "with `save_pretrained(folder)`, or use zoo:NAME, run:DIR or hub:NAME."
        )
    try:
        found = json.loads((folder / FILES[0]).read_text(encoding="utf-8")).get("_class_name")
    except (ValueError, AttributeError) as error:
        raise RunError(f"{folder / FILES[0]} is damaged ({error}); restore it from a copy.") from error
    if found != wanted:
        raise UsageError(f"{folder} holds a {found}, not a {wanted}; use the tokenizer for that class.")


def _plain(network: Any) -> Options:
    """Return the arguments that build the network again; its configuration may hold more than those."""
    taken = inspect.signature(type(network).__init__).parameters
    found = {name: value for name, value in network.config.items() if name in taken}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
