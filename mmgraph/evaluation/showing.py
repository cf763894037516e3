"""Which examples a report shows, kept in samples.json so that it can be written again from files alone.

They are the first in the fixed order of the evaluation, never picked by how well they turned out.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgraph.errors import RunError
from mmgraph.evaluation import neighbourhood_picture
from mmgraph.evaluation.drawing import Drawings
from mmgraph.evaluation.examples import fingerprint
from mmgraph.evaluation.neighbourhoods import NeighbourhoodView
from mmgraph.evaluation.understanding import Answer

DRAWINGS = 40
"""Drawings shown of each population."""
PICTURES = {"trained": 6, "unseen": 12}
"""Pictures whose answers are shown."""


def choose(
    drawings: Mapping[str, Drawings],
    answers: Mapping[str, Sequence[Answer]],
    looked: Sequence[NeighbourhoodView] = (),
) -> dict[str, Any]:
    """Return the examples as samples.json holds them: pictures as data URIs of PNG files, neighbourhoods as SVG."""
    return {
        "drawings": {population: _drawings(drawn) for population, drawn in drawings.items()},
        "answers": {population: _answers(given)[: PICTURES[population]] for population, given in answers.items()},
        "neighbourhoods": [neighbourhood_picture.as_svg(view) for view in looked],
    }


def read(path: Path) -> dict[str, Any]:
    """Return the examples of a file; none if there is no file.

    Raises:
        RunError: If it is damaged.
    """
    if not path.is_file():
        return {"drawings": {}, "answers": {}, "neighbourhoods": []}
    try:
        shown = json.loads(path.read_text(encoding="utf-8"))
        return {
            "drawings": dict(shown["drawings"]),
            "answers": dict(shown["answers"]),
            "neighbourhoods": list(shown["neighbourhoods"]),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); evaluate the run again.") from error


def data_uri(picture: Tensor) -> str:
    """Return a uint8 picture `(C, height, width)` as the data URI of a PNG file."""
    from PIL import Image

    array = picture.permute(1, 2, 0).squeeze(-1).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def decode(uri: str) -> bytes:
    """Return the PNG file of a data URI."""
    return base64.b64decode(uri.partition(",")[2])


def readable(text: str) -> str:
    """Return text as people write it: data sets may set marks apart for their tokenizers' sake."""
    return re.sub(r"\s+([,?.!])", r"\1", text)


def _drawings(drawn: Drawings) -> list[dict[str, Any]]:
    rows = []
    for index, caption in enumerate(drawn.captions[:DRAWINGS]):
        rows.append(
            {
                "caption": caption.request,
                "concept": caption.concept,
                "drawn": data_uri(drawn.drawn[index]),
                "true": data_uri(caption.picture),
                **({"given": data_uri(caption.shown)} if caption.shown is not None else {}),
                "scores": {name: float(values[index]) for name, values in drawn.per_picture.items()},
            }
        )
    return rows


def _answers(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    pictures: dict[bytes, list[Answer]] = {}
    for item in answers:
        pictures.setdefault(fingerprint(item.question), []).append(item)
    return [
        {
            "picture": data_uri(pictures[name][0].question.picture),
            "concept": pictures[name][0].question.concept,
            "answers": [
                {
                    "kind": item.question.kind,
                    "question": item.question.text,
                    "answer": item.question.answer,
                    "given": item.given,
                    "correct": item.correct,
                }
                for item in pictures[name]
            ],
        }
        for name in sorted(pictures)[: max(PICTURES.values())]
    ]
