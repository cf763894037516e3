"""items.json: the value of each question, drawing and held-out sample, so that runs can be compared item by item.

The key of an item says what was asked of which concept, so that two runs know whether they met the same items.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgraph.errors import RunError
from mmgraph.evaluation.drawing import Drawings
from mmgraph.evaluation.losses import HeldOut
from mmgraph.evaluation.nodes import Scores
from mmgraph.evaluation.understanding import Answer

FILE = "items.json"

Items = dict[str, Any]
"""`clusters`: the cluster of each item, counted from 0; `values`; `digest` of the items' keys, in order."""


def collect(
    drawn: Mapping[str, Drawings],
    answers: Mapping[str, Sequence[Answer]],
    losses: Mapping[str, Mapping[str, HeldOut]],
    nodes: Mapping[str, Scores] | None = None,
) -> dict[str, Items]:
    """Return the items of each measure, by the measure's path in metrics.json."""
    found: dict[str, Items] = {}
    sections = {"unseen": "understanding", "trained": "understanding_trained"}
    for population, given in answers.items():
        for kind in sorted({item.question.kind for item in given}):
            own = [item for item in given if item.question.kind == kind]
            keys = [(item.question.concept, f"{item.question.text}|{item.question.answer}") for item in own]
            found[f"{sections[population]}.{kind}.accuracy"] = items(keys, [item.value for item in own])
    for population, drawings in drawn.items():
        keys = [(caption.concept, caption.text) for caption in drawings.captions]
        for name, values in drawings.per_picture.items():
            if len(values) == len(keys):
                found[f"{drawings.section}.{population}.{name}"] = items(keys, values.tolist())
    for task, heads in losses.items():
        for head, loss in heads.items():
            keys = [(concept, str(place)) for place, concept in enumerate(loss.concepts)]
            found[f"losses.{task}.{head}"] = items(keys, loss.values.tolist())
    for path, scores in (nodes or {}).items():
        keys = [(str(node), str(place)) for place, node in enumerate(scores.nodes)]
        found[f"graph.{path}"] = items(keys, scores.values.tolist())
    return found


def items(keys: Sequence[tuple[str, str]], values: Iterable[float]) -> Items:
    """Return items as the file holds them.

    Args:
        keys: Concept, and what was asked of it.
        values: One of each item.
    """
    clusters: dict[str, int] = {}
    numbers = [clusters.setdefault(concept, len(clusters)) for concept, _ in keys]
    digest = hashlib.sha256(json.dumps(list(keys), ensure_ascii=False).encode()).hexdigest()[:12]
    return {"digest": digest, "clusters": numbers, "values": [float(f"{value:.6g}") for value in values]}


def read(run: Path) -> dict[str, Items]:
    """Return the items of a run; none if it has no such file.

    Raises:
        RunError: If the file is damaged.
    """
    path = run / FILE
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}); evaluate the run again.") from error
