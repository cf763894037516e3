from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmgraph import imports, models
from tests import tiny
from tests.evaluation import world


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """Write the run directory of a tiny untrained model on a world of squares."""
    monkeypatch.setattr(imports, "_named", {*imports._named, world.__package__})

    def make(
        name: str = "squares/3", *, training: bool = True, data: str = "", model: Any = None, **options: object
    ) -> Path:
        run = tmp_path / name
        (run / "logs").mkdir(parents=True)
        arguments = options if data else {"count": 40, **options}
        section = {"class_path": data or f"{world.__name__}.Squares", "init_args": arguments}
        text = "# recipe: squares\n" + yaml.safe_dump({"seed_everything": 3, "data": section})
        (run / "config.yaml").write_text(text)
        (run / "logs" / "metrics.csv").write_text("step,train_loss,val_loss\n0,3.0,\n1,2.5,2.8\n2,2.0,\n")
        if training:
            figures = {"recipe": "squares", "seed": 3, "steps": 10, "seconds": 100.0, "peak_memory_mb": 500.5}
            (run / "training.json").write_text(json.dumps({**figures, "command": "mmgraph fit -c squares"}))
        models.save(model or tiny.model(), run / "model")
        return run

    return make


@pytest.fixture(scope="session")
def metrics_and_examples() -> tuple[dict, dict]:
    """What an evaluation writes, made up."""
    picture = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAEElEQVR4nGP4z8AARwzEcQCukw/x0F8jngAAAABJ"
        "RU5ErkJggg=="
    )
    score = {"value": 0.5, "n": 40, "candidates": 150, "chance": 1 / 150, "ci95": [0.4, 0.6], "spread": None}
    scores = {"recall_at_1": {**score, "baselines": {"nearest_caption": 0.25, "real": 1.0}}}
    kinds = {"name": {"accuracy": 0.25, "n": 8, "chance": 0.01, "majority": None, "ci95": [0.1, 0.4]}}
    metrics = {
        "schema": 1,
        "recipe": "made <up>",
        "seed": 7,
        "protocol": "grouped",
        "split": "test",
        "command": "mmgraph evaluate --run x",
        "versions": {"python": "3.11", "torch": "2", "lightning": "2", "mmgraph": "0"},
        "hardware": {
            "cpu": "Abacus & Sons",
            "cores": 2,
            "threads": 1,
            "memory_gb": None,
            "device": "cpu",
            "system": "Linux",
        },
        "understanding": kinds,
        "understanding_trained": kinds,
        "generation": {"trained": scores, "unseen": scores},
        "reconstruction": {"unseen": scores},
        "graph": {},
        "training": {
            "seconds": 238.0,
            "cpu_seconds": 400.5,
            "steps": 1200,
            "samples_per_second": 320.0,
            "tokens_per_second": None,
            "peak_memory_mb": None,
            "parameters": 5_200_000,
            "active_parameters": 5_200_000,
            "visual_tokens": 16,
            "command": None,
        },
        "evaluation": {"seconds": 20.0, "seed": 0, "limit": None, "guidance": None, "num_steps": None},
        "data": {
            "dataset": "Emoji",
            "description": "groups A & B",
            "credits": "Art by <nobody>",
            "pictures": {"train": 1100, "test": 220},
            "size": [24, 32],
            "compared": 1100,
        },
        "tokenizers": [
            {"name": "text", "type": "Word", "modality": "text", "discrete": True, "tokens": None},
            {"name": "image", "type": "AE", "modality": "image", "discrete": False, "tokens": 16},
        ],
        "legend": {
            "recall_at_1": {
                "label": "R@1",
                "text": "Share that is right.",
                "better": "higher",
                "headline": True,
            }
        },
        "notes": ["Something was <left out>."],
    }
    drawing = {"caption": "a <b> fox", "concept": "fox", "drawn": picture, "true": picture}
    said = {"kind": "name", "question": "", "answer": "<fox>"}
    examples = {
        "drawings": {
            "trained": [{**drawing, "scores": {"recall_at_1": 1.0}}],
            "unseen": [{**drawing, "scores": {"recall_at_1": 0.0}}],
        },
        "answers": {
            "unseen": [
                {
                    "picture": picture,
                    "concept": "fox",
                    "answers": [
                        {**said, "given": "<fox>", "correct": True},
                        {**said, "given": "", "correct": False},
                    ],
                }
            ]
        },
        "neighbourhoods": [],
    }
    return metrics, examples
