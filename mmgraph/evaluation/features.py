"""Picture features for metrics: EfficientNet-Lite0, whose ImageNet weights come inside a package.

Fréchet and kernel distances are usually taken in Inception-v3 features, which must be downloaded. A 4.7M
parameter network serves pictures of 16 to 64 px as well, in 2 ms each on one CPU core.

Reference:
    Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019 (arXiv 1905.11946).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.models.perceptual import MEAN, STD, network

FEATURE_DIM = 1280
SIZE = 64
"""Pictures are brought to this many pixels; at the 224 of ImageNet each would cost 12 times as much."""
BATCH = 32

_REMEMBERED = 8192
_memory: OrderedDict[bytes, Tensor] = OrderedDict()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: a second gains little on small operations, and costs much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
@torch.no_grad()
def features(pictures: Tensor) -> Tensor:
    """Return pooled features of the last convolution.

    Equal pictures are computed once per process: their features are kept in memory, the oldest dropped first.

    Shapes:
        pictures: `(N, C, height, width)` uint8, C 1 or 3.
        returns: `(N, 1280)` float32, on the CPU.

    Raises:
        UsageError: If the pictures are not uint8 or have another number of channels.
    """
    if pictures.dtype != torch.uint8 or pictures.dim() != 4 or pictures.shape[1] not in (1, 3):
        raise UsageError(
            f"features are of uint8 pictures (N, 1 or 3, height, width); got {pictures.dtype} {tuple(pictures.shape)}."
        )
    pictures = pictures.cpu().contiguous()
    shape = str(tuple(pictures.shape[1:])).encode()
    keys = [shape + picture.numpy().tobytes() for picture in pictures]
    known = {key: _memory[key] for key in keys if key in _memory}
    missing = {key: row for row, key in enumerate(keys) if key not in known}
    rows = list(missing.values())
    for start in range(0, len(rows), BATCH):
        chunk = rows[start : start + BATCH]
        for row, vector in zip(chunk, _compute(pictures[chunk]), strict=True):
            known[keys[row]] = vector
    for key in missing:
        _memory[key] = known[key]
    while len(_memory) > _REMEMBERED:
        _memory.popitem(last=False)
    return torch.stack([known[key] for key in keys]) if keys else torch.zeros(0, FEATURE_DIM)


def _compute(pictures: Tensor) -> Tensor:
    x = pictures.expand(-1, 3, -1, -1).float() / 255
    x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=max(x.shape[-2:]) > SIZE)
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    maps = network().extract_features(x.contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
    return maps.mean((2, 3))  # (N, 1280)
