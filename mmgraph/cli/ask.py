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
    from PIL import Image, UnidentifiedImageError

    from mmgraph.pictures import from_image

    try:
        with Image.open(path) as opened:
            return from_image(opened)
    except FileNotFoundError:
        raise UsageError(f"there is no picture {path}.") from None
    except (UnidentifiedImageError, OSError) as error:
        raise UsageError(f"{path} is not a picture that can be read: {error}.") from error


def resize(picture: Any, model: Any) -> Any:
    """Return a picture `(3, H, W)`, padded with white to a square, in the size that the model reads."""
    from mmgraph.pictures import to_square

    sizes = [getattr(part, "image_size", None) for part in model.tokenizers.values() if part.modality == "image"]
    size = next((size for size in sizes if size is not None), None)
    return picture if size is None else to_square(picture, size)
