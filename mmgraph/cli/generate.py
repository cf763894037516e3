"""`mmgraph generate`: draw pictures for captions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgraph.errors import UsageError


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Draw and write one picture file."""
    parser = argparse.ArgumentParser(
        prog="mmgraph generate",
        description="Draw a picture for each caption and write them side by side.",
        epilog="example: mmgraph generate --run zoo:transfusion_long 'red heart' 'cat face'",
        allow_abbrev=False,
    )
    parser.add_argument("captions", nargs="+", metavar="CAPTION")
    parser.add_argument("--run", required=True, metavar="REF", help="run directory, model directory or zoo:NAME")
    parser.add_argument(
        "--guidance", type=guidance, metavar="G", help="2.5, or text=2.5,graph=1.5 (default: the model's)"
    )
    parser.add_argument("--steps", type=positive, metavar="N", help="steps of the sampler (default: the model's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--out", type=Path, default=Path("generated.png"), metavar="FILE.png", help="default: generated.png"
    )
    options = parser.parse_args(list(argv))
    if options.out.suffix.lower() != ".png":
        raise UsageError(f"--out {options.out} must end in .png.")
    from mmgraph import generation, models

    model = models.load(options.run)
    chosen: dict[str, Any] = {"guidance": options.guidance, "num_steps": options.steps}
    given = {name: value for name, value in chosen.items() if value is not None}
    pictures = generation.draw(model, options.captions, seed=options.seed, **given)
    write(options.out, pictures)
    if getattr(model, "tools", None):
        _tell_prompts(model, options.captions, options.seed)
    print(f"drew {len(options.captions)}: {options.out}")
    return 0


def _tell_prompts(model: Any, captions: Sequence[str], seed: int) -> None:
    """Show what the model asked its tool to draw."""
    from mmgraph import generation
    from mmgraph.sequence import Sample, Segment

    drawn = Segment("image", None, target=True)
    samples = [Sample((Segment("text", caption), drawn), "draw", number) for number, caption in enumerate(captions)]
    for caption, prompt in zip(captions, generation.tool_prompts(model, samples, seed=seed), strict=True):
        print(f"for '{caption}' the tool was asked to draw '{prompt}'")


def guidance(text: str) -> float | dict[str, float]:
    """Read `2.5` or `text=2.5,graph=1.5`."""
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor like text=2.5,graph=1.5") from None


def positive(text: str) -> int:
    """Read a positive whole number."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive whole number")
    return int(text)


def write(path: Path, pictures: Any, scale: int = 4) -> None:
    """Write pictures side by side, enlarged so that small ones can be seen.

    Args:
        path: A PNG file.
        pictures: uint8 `(N, 3, H, W)`.
        scale: Pixels per pixel.
    """
    from PIL import Image

    row = pictures.permute(2, 0, 3, 1).reshape(pictures.shape[2], -1, 3)  # (H, N W, 3)
    image = Image.fromarray(row.cpu().numpy())
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
