"""The pictures of the home page, drawn by a trained model of the zoo.

Committed, and drawn again with `python -m mmgraph.docs pictures`. They are stored at the size the model draws;
the page enlarges them.
"""

from __future__ import annotations

from typing import Any

from mmgraph.docs.places import Places

MODEL = "zoo:transfusion_long"
CAPTIONS = (
    "green apple", "red heart", "cat face", "grinning face", "woman firefighter", "robot",
    "dog face", "sunflower", "vampire", "strawberry", "rocket", "pilot",
)  # fmt: skip
STAGES = 6
WATCHED = "woman firefighter"


def draw(places: Places) -> None:
    """Write `docs/assets/drawn/*.png`: one picture per caption, and the stages of one of them in a row."""
    import torch

    from mmgraph import generation, models
    from mmgraph.sequence import Sample, Segment

    model = models.load(MODEL)
    folder = places.docs / "assets" / "drawn"
    folder.mkdir(parents=True, exist_ok=True)
    samples = [
        Sample((Segment("text", caption), Segment("image", None, target=True)), "draw", number)
        for number, caption in enumerate(CAPTIONS)
    ]
    read: list[Any] = []  # what the model reads at each step: noise at first
    *_, drawn = generation.paint(model, samples, watch=lambda tokens, time: read.append(tokens))  # (N, 3, H, W)
    for caption, picture in zip(CAPTIONS, drawn, strict=True):
        _save(picture, folder / f"{caption.replace(' ', '-')}.png")
    watched = CAPTIONS.index(WATCHED)
    chosen = [round(number * len(read) / (STAGES - 1)) for number in range(STAGES - 1)]
    states = [model.tokenizer("image").decode(read[number][watched : watched + 1])[0] for number in chosen]
    _save(torch.cat([*states, drawn[watched]], dim=2), folder / "stages.png")  # (3, H, STAGES W)
    print(f"read before steps {', '.join(str(number + 1) for number in chosen)}, and drawn after step {len(read)}")


def _save(picture: Any, path: Any) -> None:
    from PIL import Image

    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path, optimize=True)
