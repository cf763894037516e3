"""Pictures of any size as squares of one size, decoded when they are first shown.

Benchmarks have more pictures than memory holds and a smaller part of them is shown in a short run, so nothing is
decoded at the start. A damaged file is then found in the middle of training: it is counted, named, and whoever
asked takes another picture.
"""

from __future__ import annotations

import io
import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph_datasets.benchmark_files import NAMED

Fit = Literal["crop", "pad"]
WHITE = (255, 255, 255)
log = logging.getLogger(__name__)


def square(source: Path | bytes, size: int, fit: Fit) -> np.ndarray:
    """Return a picture file as uint8 `(size, size, 3)`: turned upright, transparency on white.

    Args:
        source: The file, or its content.
        size: Side in pixels.
        fit: `crop` the middle, or `pad` with white.
    """
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
        file.draft("RGB", (2 * size, 2 * size))  # a photograph's decoder can skip what would be thrown away
        turned = ImageOps.exif_transpose(file)
        if turned.mode != "RGB" or "transparency" in turned.info:
            turned = turned.convert("RGBA")
            turned = Image.alpha_composite(Image.new("RGBA", turned.size, (*WHITE, 255)), turned).convert("RGB")
    resize = Image.Resampling.LANCZOS
    if fit == "crop":
        return np.asarray(ImageOps.fit(turned, (size, size), resize))
    return np.asarray(ImageOps.pad(turned, (size, size), resize, color=WHITE))


class PictureStore:
    """Pictures by name; the latest shown are kept in memory.

    Args:
        read: Gives the file of a name, or its content.
        size: Side in pixels.
        fit: How a picture becomes square.
        memory_mb: Memory for decoded pictures; beyond it the one not shown for longest is dropped.
    """

    def __init__(self, read: Callable[[str], Path | bytes], *, size: int, fit: Fit, memory_mb: int = 512) -> None:
        if size < 4:
            raise UsageError(f"image_size must be at least 4, not {size}.")
        self.size = size
        self.damaged: dict[str, str] = {}
        self._read = read
        self._fit: Fit = fit
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._room = max(1, memory_mb * 2**20 // (3 * size * size))

    def get(self, name: str) -> Tensor | None:
        """Return a picture, uint8 `(3, size, size)`, or None if its file is damaged."""
        if name in self.damaged:
            return None
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            return kept
        try:
            pixels = square(self._read(name), self.size, self._fit)
        except Exception as error:  # decoders of damaged files raise whatever they stumble on
            self.leave_out(name, error)
            return None
        picture = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()
        self._kept[name] = picture
        if len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return picture

    def leave_out(self, name: str, error: Exception) -> None:
        """Count a picture as damaged; the first few are named."""
        if name in self.damaged:
            return
        said = "missing" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        self.damaged[name] = said
        count = len(self.damaged)
        if count <= NAMED or count in (10, 100, 1000, 10_000, 100_000):
            log.warning("picture left out (%s so far): %s: %s", f"{count:,}", name, said)
