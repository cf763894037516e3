"""What is measured of each kind of model: one that answers and draws, or one that matches pictures and captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmgraph.datasets import Dataset, Split
from mmgraph.evaluation import (
    autoencoding,
    captioning,
    contrasting,
    drawing,
    examples,
    links,
    losses,
    neighbourhoods,
    node_texts,
    nodes,
    oracle,
    requested,
    scene_graphs,
    understanding,
)
from mmgraph.evaluation.examples import Caption, Question
from mmgraph.metrics import PictureMetric, TextMetric

DRAWINGS = 150
"""Captions drawn of each population, and candidates of each retrieval, where there are that many."""
QUESTIONS = 200
"""Questions of each kind and population, where there are that many."""
SAMPLES = 4000
"""Samples of each split and task that are looked at; generated worlds have no end of them."""


@dataclass
class Material:
    """A trained model, and what it is measured on.

    Args:
        model: The model.
        dataset: Its data set.
        split: The held-out split.
        captions: Captions with their pictures, by population (`trained`, `unseen`).
        asked: Questions about pictures, by population.
        training: Training captions that drawings are compared with.
        metrics: Picture metrics.
        text_metrics: Metrics of captions.
        limit: At most so many of each.
        guidance: Scale of classifier-free guidance; None: the model's default.
        num_steps: Steps of the image head's sampler; None: the model's default.
        seed: Decides the noise, subsets and resamples.
        tell: Called with one line at the start of each part.
    """

    model: Any
    dataset: Dataset
    split: Split
    captions: Mapping[str, list[Caption]]
    asked: Mapping[str, list[Question]]
    training: Sequence[Caption]
    metrics: Sequence[PictureMetric]
    text_metrics: Sequence[TextMetric]
    limit: int | None
    guidance: float | Mapping[str, float] | None
    num_steps: int | None
    seed: int
    tell: Callable[[str], None]

    def chosen(self, population: str) -> list[Caption]:
        """Return the captions of a population that are drawn, or retrieved among."""
        most = min(DRAWINGS, self.limit or DRAWINGS)
        return examples.pick(self.captions[population], most)[:most]


@dataclass
class Measured:
    """What was found; fields are the sections of metrics.json and what the report shows.

    Args:
        scores: Understanding, by population.
        generation: Scores of drawings, by population.
        reconstruction: Scores of the image tokenizer alone, by population.
        captioning: Scores of names that several people's captions stand beside, by population.
        requested: Scores of drawings of tasks that give more than a caption, by task and population.
        drawn: The drawings, by population; those of such a task by `task.population`.
        answers: The answers.
        missed: Held-out losses.
        graph: Scores of the nodes of a graph, by path in the section `graph`.
        looked: Nodes with their neighbourhoods.
    """

    scores: dict[str, Any] = field(default_factory=lambda: {"unseen": {}, "trained": {}})
    generation: dict[str, Any] = field(default_factory=dict)
    reconstruction: dict[str, Any] = field(default_factory=dict)
    captioning: dict[str, Any] = field(default_factory=dict)
    requested: dict[str, Any] = field(default_factory=dict)
    drawn: dict[str, drawing.Drawings] = field(default_factory=dict)
    answers: dict[str, list[understanding.Answer]] = field(default_factory=dict)
    missed: dict[str, Any] = field(default_factory=dict)
    graph: dict[str, nodes.Scores] = field(default_factory=dict)
    looked: list[neighbourhoods.NeighbourhoodView] = field(default_factory=list)


def measure(material: Material) -> Measured:
    """Measure a model by what it can do."""
    from mmgraph.models import Autoencoder, Contrastive

    if isinstance(material.model, Autoencoder):
        return _autoencoding(material)
    if isinstance(material.model, Contrastive):
        return _matching(material)
    return _unified(material) if nodes.graph_of(material.dataset) is None else _of_nodes(material)


def _unified(material: Material) -> Measured:
    found, model, seed = Measured(), material.model, material.seed
    splits: dict[str, Split] = {"trained": "train", "unseen": material.split}
    for population in material.captions:
        _draw(material, found, population, material.chosen(population))
    found.requested, drawn = requested.measure(
        model,
        material.dataset,
        splits,
        material.training,
        most=min(DRAWINGS, material.limit or DRAWINGS),
        looked_at=SAMPLES,
        guidance=material.guidance,
        num_steps=material.num_steps,
        seed=seed,
        tell=material.tell,
    )
    found.drawn |= drawn
    for population, every in material.asked.items():
        most = min(QUESTIONS, material.limit or QUESTIONS)
        picked = examples.pick(every, most, key=lambda question: question.kind)
        if not picked:
            continue
        material.tell(f"asking {len(picked)} questions about {population} pictures")
        found.answers[population] = understanding.answer(model, picked)
        said, trained = found.answers[population], material.asked["trained"]
        found.scores[population] = understanding.score(said, trained, seed=seed)
        captions = captioning.score(said, trained, material.text_metrics, seed=seed)
        found.captioning.update({population: captions} if captions else {})
    found.graph = scene_graphs.measure(model, material.dataset, material.split, limit=material.limit, seed=seed)
    material.tell("measuring held-out losses")
    found.missed = losses.held_out(
        model, material.dataset, material.split, limit=material.limit, seed=seed, most=SAMPLES
    )
    return found


def _draw(material: Material, found: Measured, population: str, chosen: Sequence[Caption]) -> None:
    """Draw captions of a population, and score what was drawn and what the image tokenizer makes of the true ones."""
    if not chosen:
        return
    material.tell(f"drawing {len(chosen)} {population} captions")
    result = drawing.draw(
        material.model, chosen, guidance=material.guidance, num_steps=material.num_steps, seed=material.seed
    )
    material.tell(f"scoring {len(chosen)} {population} drawings")
    given = material.training, material.metrics
    found.generation[population] = {
        **oracle.score(result, material.training, dataset=material.dataset, seed=material.seed),
        **drawing.score(result, *given, seed=material.seed),
    }
    found.reconstruction[population] = drawing.reconstruction(result, *given, seed=material.seed)
    found.drawn[population] = result


def _of_nodes(material: Material) -> Measured:
    """Measure answers about nodes, denoising of their pictures and drawings of them, each with its neighbourhood."""
    found, given = Measured(), (material.model, material.dataset, material.split)
    splits: dict[str, Split] = {"trained": "train", "unseen": material.split}
    for population, split in splits.items():
        asked = examples.requests(material.dataset, split, examples.DRAW_TASK, SAMPLES)
        most = min(DRAWINGS, material.limit or DRAWINGS)
        _draw(material, found, population, examples.pick(asked, most)[:most])
    material.tell("scoring nodes with their neighbourhoods")
    found.graph = nodes.measure(*given, limit=material.limit, seed=material.seed)
    if material.dataset.tasks.keys() & {"link", *node_texts.TASKS}:
        material.tell("writing texts of nodes and ranking pairs")
        found.graph |= node_texts.measure(*given, limit=material.limit, seed=material.seed)
        found.graph |= links.measure(*given, limit=material.limit, seed=material.seed)
    material.tell("measuring held-out losses")
    found.missed = losses.held_out(*given, limit=material.limit, seed=material.seed, most=SAMPLES)
    found.looked = neighbourhoods.examples(*given, seed=material.seed)
    return found


def _autoencoding(material: Material) -> Measured:
    """Measure what comes back of pictures, trained and unseen."""
    found = Measured()
    for population in material.captions:
        chosen = material.chosen(population)
        if not chosen:
            continue
        material.tell(f"reconstructing {len(chosen)} {population} pictures")
        found.drawn[population], found.reconstruction[population] = autoencoding.measure(
            material.model.tokenizer,
            chosen,
            material.training,
            material.metrics,
            dataset=material.dataset,
            seed=material.seed,
            device=material.model.device,
        )
    return found


def _matching(material: Material) -> Measured:
    """Measure retrieval and zero-shot answers; the data set's questions are taken whatever it trained on."""
    material.tell("matching pictures and captions")
    dataset = material.dataset
    dataset.tasks = dict.fromkeys(dataset.supported_tasks, 1.0)
    splits: dict[str, Split] = {"trained": "train", "unseen": material.split}
    asked = {population: examples.questions(dataset, split, SAMPLES) for population, split in splits.items()}
    captions = {population: material.chosen(population) for population in material.captions}
    scores = contrasting.measure(
        material.model, captions, asked, material.captions["trained"], candidates=DRAWINGS, seed=material.seed
    )
    return Measured(scores={"unseen": {}, "trained": {}, **scores})
