"""`mmgraph ask`: answer a question about a picture, or name it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgraph.errors import UsageError


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Answer, and print the answer."""
    parser = argparse.ArgumentParser(
        prog="mmgraph ask",
        description="Answer a question about a picture; without a question, name what it shows.",
        allow_abbrev=False,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("question", nargs="?", metavar="QUESTION")
    parser.add_argument("--run", required=True, metavar="REF", help="run directory, model directory or zoo:NAME")
    options = parser.parse_args(list(argv))
    picture = read(options.image)
    from mmgraph import generation, models

    model = models.load(options.run)
    picture = resize(picture, model)
    if options.question is None:
        answers = generation.name(model, picture[None])
    else:
        answers = generation.ask(model, picture[None], [options.question])
    print(answers[0])
    return 0


def read(path: Path) -> Any:
    """Return a picture file as uint8 `(3, H, W)`, transparent parts white.

    Raises:
        UsageError: If there is no such file or it is no picture.
    """
    import numpy
    import torch
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
    except FileNotFoundError:
        raise UsageError(f"there is no picture {path}.") from None
    except (UnidentifiedImageError, OSError) as error:
        raise UsageError(f"{path} is not a picture that can be read: {error}.") from error
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image).convert("RGB")
    return torch.from_numpy(numpy.array(flat)).permute(2, 0, 1).contiguous()  # (3, H, W)


def resize(picture: Any, model: Any) -> Any:
    """Return a picture `(3, H, W)`, padded with white to a square, in the size that the model reads."""
    from torch.nn import functional as F

    sizes = [getattr(part, "image_size", None) for part in model.tokenizers.values() if part.modality == "image"]
    size = next((size for size in sizes if size is not None), None)
    _, height, width = picture.shape
    if size is None or (height, width) == (size, size):
        return picture
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    square = F.pad(picture.float(), (left, side - width - left, top, side - height - top), value=255.0)
    small = F.interpolate(square[None], size=(size, size), mode="bilinear", antialias=True)[0]
    return small.round().clamp(0, 255).to(picture.dtype)
