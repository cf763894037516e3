"""A model of 30,000 parameters and eight samples: everything in it is real, only small."""

from __future__ import annotations

import torch

from mmgraph.blocks import dense
from mmgraph.connectors import linear
from mmgraph.heads import flow, next_token
from mmgraph.models import UnifiedModel
from mmgraph.processors import single
from mmgraph.sequence import Sample, Segment
from mmgraph.testing.stand_ins import pictures
from mmgraph.testing.suite import stir
from mmgraph.tokenizers import patch, word

SIZE = 8
TEXTS = (
    "a red fox",
    "fox",
    "a big red fox with big ears",
    "two small ears",
    "is it red ?",
    "yes",
    "no",
    "what is it ?",
)


def model(*, stirred: bool = True, **options: object) -> UnifiedModel:
    """Return a built model; `options` replace the constructor's arguments."""
    torch.manual_seed(0)
    arguments = {
        "processor": single(),
        "tokenizers": {"text": word(), "image": patch(SIZE, 4)},
        "block": dense(4),
        "heads": {"text": next_token(), "image": flow()},
        "connectors": {"image": linear()},
        "dim": 32,
        "depth": 2,
        "condition_dim": 16,
        **options,
    }
    built = UnifiedModel(**arguments)  # type: ignore[arg-type]
    for tokenizer in built.tokenizers.values():
        if not tokenizer.fitted:
            tokenizer.fit(TEXTS if tokenizer.modality == "text" else pictures(12, SIZE))
    built.build()
    if stirred:
        stir(built)
    return built.eval()


def samples() -> list[Sample]:
    """Return eight samples: draw and name in turn, two of them questions."""
    found = []
    for number, picture in enumerate(pictures(8, SIZE)):
        caption = Segment("text", TEXTS[number % 4])
        image = Segment("image", picture)
        if number % 2 == 0:
            found.append(Sample((caption, aim(image)), "draw", number))
        elif number % 4 == 1:
            found.append(Sample((image, aim(caption)), "name", number))
        else:
            question = Segment("text", TEXTS[4])
            found.append(Sample((image, question, aim(Segment("text", TEXTS[5]))), "ask", number))
    return found


def aim(segment: Segment) -> Segment:
    """Return the segment as a target."""
    return Segment(segment.modality, segment.content, target=True)


def opened(sample: Sample) -> Sample:
    """Return the sample with its last segment left to the model."""
    last = sample.segments[-1]
    return Sample((*sample.segments[:-1], Segment(last.modality, None, target=True)), sample.task, sample.key)


def perplexing(model: UnifiedModel, seed: int = 1) -> UnifiedModel:
    """Stir once more, so that greedy writing does not repeat one word."""
    stir(model, seed)
    return model
