"""What the page says about a run before anything is drawn, and what it offers to try, from the run's own data."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmgraph import recipes
from mmgraph.configured import instantiate
from mmgraph.datasets import Dataset, Split
from mmgraph.demo import pixels
from mmgraph.demo.studio import Studio
from mmgraph.errors import UsageError
from mmgraph.evaluation import examples, record
from mmgraph.evaluation.files import REPORT

CAPTIONS = 12
PICTURES = 24
LOOKED_AT = 400
"""Samples of each split and task from which the examples are taken."""


class About:
    """What is known of a run from its files.

    Args:
        reference: `zoo:NAME`, `run:DIR`, a run directory or a model folder.
    """

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.recipe: str | None = None
        self.title = ""
        self.config: Mapping[str, Any] = {}
        self.figures: Mapping[str, Any] = {}
        self.report: Path | None = None
        if reference.startswith("zoo:"):
            name = reference.removeprefix("zoo:")
            if len(recipes.places(name)) == 1:
                self.recipe, path = name, recipes.find(name)
                self.config = _read(path)
        else:
            folder = Path(reference.removeprefix("run:"))
            if (folder / "model").is_dir() and (folder / "config.yaml").is_file():
                self.config = _read(folder / "config.yaml")
                self.figures = record.recorded(folder / "training.json")
                self.recipe = str(self.figures.get("recipe") or record.recipe_of(folder))
                self.report = folder / REPORT if (folder / REPORT).is_file() else None
        if self.recipe and len(recipes.places(self.recipe)) == 1:
            self.title = recipes.title(recipes.find(self.recipe))

    def facts(self, studio: Studio) -> dict[str, Any]:
        """Return what the page's head and its controls show."""
        model = studio.model
        images = [part for part in model.tokenizers.values() if part.modality == "image"]
        steps = self.figures.get("steps") or (self.config.get("trainer") or {}).get("max_steps")
        return {
            "reference": self.reference,
            "recipe": self.recipe,
            "title": self.title,
            "seed": self.figures.get("seed", self.config.get("seed_everything")),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "training_steps": steps if isinstance(steps, int) and steps > 0 else None,
            "size": studio.size,
            "visual_tokens": images[0].num_tokens if images else None,
            "report": self.report is not None,
            "words": studio.words.shown,
            "refusals": {task: studio.refusal(task) for task in ("draw", "ask", "name")},
            "sampling": {"guidance": model.sampling.guidance, "steps": model.sampling.num_steps},
        }

    def dataset(self) -> Dataset:
        """Return the data set that the run was trained on.

        Raises:
            UsageError: If the run does not say which, or it cannot be built here.
        """
        if not self.config.get("data"):
            raise UsageError(f"{self.reference} does not say what it was trained on; a run directory would.")
        dataset = instantiate(self.config["data"])
        if not isinstance(dataset, Dataset):
            raise UsageError(f"{self.config['data'].get('class_path')} is no data set with pictures and captions.")
        return dataset


def offers(dataset: Dataset, studio: Studio) -> dict[str, Any]:
    """Return captions seen and unseen in training, and test pictures with questions whose answers are known."""
    splits: tuple[tuple[str, Split], ...] = (("trained", "train"), ("unseen", "test"))
    captions = {key: _captions(dataset, split, studio) for key, split in splits}
    asked = examples.questions(dataset, "test", LOOKED_AT)
    grouped: dict[bytes, list[examples.Question]] = {}
    for question in asked:
        grouped.setdefault(examples.fingerprint(question), []).append(question)
    pictures = []
    for name in sorted(grouped, key=lambda name: (len(grouped[name]) < 2, name))[:PICTURES]:
        own = grouped[name]
        pictures.append(
            {
                "picture": pixels.strip(studio.view(own[0].picture)[None]),
                "name": next((question.answer for question in own if not question.text), None),
                "questions": [{"text": q.text, "answer": q.answer} for q in own if q.text],
            }
        )
    common = Counter(question.text for question in asked if question.text)
    return {
        "protocol": dataset.protocol,
        "description": f"{type(dataset).__name__}: {dataset.description}".removesuffix(": "),
        "credits": dataset.credits,
        "tasks": [task for task, weight in dataset.tasks.items() if weight > 0],
        "captions": captions,
        "pictures": pictures,
        "questions": [text for text, _ in common.most_common(6)],
    }


def _captions(dataset: Dataset, split: Split, studio: Studio) -> list[dict[str, Any]]:
    """Return some captions with the pictures that belong to them."""
    known = examples.captions(dataset, split, LOOKED_AT)
    chosen = random.Random(0).sample(known, min(CAPTIONS, len(known)))
    return [{"text": c.text, "picture": pixels.strip(studio.view(c.picture)[None])} for c in chosen]


def _read(path: Path) -> Mapping[str, Any]:
    """Return a configuration with its references resolved.

    Raises:
        UsageError: If it is no configuration.
    """
    try:
        found = OmegaConf.to_container(OmegaConf.create(yaml.safe_load(path.read_text(encoding="utf-8"))), resolve=True)
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a configuration: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no configuration: expected keys such as model, data and trainer.")
    return {str(key): value for key, value in found.items()}
