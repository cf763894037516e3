"""How well a contrastive model matches pictures and captions, and names attributes it was never asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.evaluation.examples import Caption, Question, fingerprint, stack
from mmgraph.evaluation.statistics import mean_interval
from mmgraph.evaluation.understanding import Answer, score

BATCH = 256
RANKS = (1, 10)


@torch.inference_mode()
def retrieval(model: Any, captions: Sequence[Caption], *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return R@1 and R@10 of captions by pictures and of pictures by captions.

    Equal captions count as one: each is a candidate once, and any picture of it is right.

    Args:
        model: A contrastive model.
        captions: Pictures with their captions.
        seed: Decides the resamples.
    """
    texts = list(dict.fromkeys(caption.text for caption in captions))
    own = torch.tensor([texts.index(caption.text) for caption in captions])
    scores = pictures_of(model, stack(captions, "the captions")) @ texts_of(model, texts).T  # (pictures, texts)
    concepts = [caption.concept for caption in captions]
    true = scores.gather(1, own[:, None])
    text_rank = (scores > true).sum(1)
    first = {int(place): row for row, place in reversed(list(enumerate(own.tolist())))}
    rows = torch.tensor([first[place] for place in range(len(texts))])
    best = torch.stack([scores[own == place, place].max() for place in range(len(texts))])
    right = own[:, None] == torch.arange(len(texts))
    picture_rank = ((scores > best) & ~right).sum(0)
    found: dict[str, dict[str, Any]] = {}
    for name, rank, candidates, names in (
        ("picture_to_text", text_rank, len(texts), concepts),
        ("text_to_picture", picture_rank, len(captions), [concepts[row] for row in rows.tolist()]),
    ):
        for k in RANKS:
            hit = (rank < k).double()
            found[f"{name}_at_{k}"] = {
                "accuracy": float(hit.mean()),
                "n": len(hit),
                "chance": min(1.0, k / candidates),
                "majority": None,
                "ci95": list(mean_interval(hit, names, seed=seed)),
            }
    return found


@torch.inference_mode()
def zero_shot(
    model: Any, questions: Sequence[Question], training: Sequence[Question], captions: Sequence[Caption]
) -> list[Answer]:
    r"""Answer each question by the class nearest to its picture, without reading the question.

    A class is the mean of the training captions whose picture has that answer (prompts in place of training):
    \( v_c = \mathrm{mean}\{ v(w) : w \in c \} \). Yes and no are no classes.

    Args:
        model: A contrastive model.
        questions: Held-out questions; the model sees their pictures only.
        training: Training questions, whose answers say which caption belongs to which class.
        captions: Training captions.
    """
    texts = {fingerprint(caption): caption.text for caption in captions}
    prompts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for question in training:
        text = texts.get(fingerprint(question))
        if text is not None and question.kind != "name":
            prompts[question.kind][question.answer].add(text)
    answers: list[Answer] = []
    for kind, classes in sorted(prompts.items()):
        asked = [question for question in questions if question.kind == kind]
        if not asked or len(classes) < 2 or set(classes) <= {"yes", "no"}:
            continue
        names = sorted(classes)
        centres = torch.stack([texts_of(model, sorted(classes[name])).mean(0) for name in names])
        seen = pictures_of(model, stack(asked, "the questions"))
        chosen = (seen @ F.normalize(centres, dim=-1).T).argmax(1).tolist()
        answers += [Answer(question, names[place]) for question, place in zip(asked, chosen, strict=True)]
    return answers


def pictures_of(model: Any, pictures: Tensor) -> Tensor:
    """Return unit vectors of uint8 pictures, on the CPU."""
    return torch.cat([model.embed_pictures(part).cpu() for part in pictures.split(BATCH)])


def texts_of(model: Any, texts: Sequence[str]) -> Tensor:
    """Return unit vectors of texts, on the CPU."""
    parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return torch.cat([model.embed_texts(part).cpu() for part in parts])


def measure(
    model: Any,
    captions: Mapping[str, Sequence[Caption]],
    asked: Mapping[str, Sequence[Question]],
    training: Sequence[Caption],
    *,
    candidates: int,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return retrieval and zero-shot accuracy of each population (`trained`, `unseen`).

    Args:
        model: A contrastive model.
        captions: Pictures and captions of each population, in the order in which they are taken.
        asked: Questions of each population.
        training: Training captions, the prompts of zero-shot classes.
        candidates: Pictures of each retrieval.
        seed: Decides the resamples.
    """
    found: dict[str, dict[str, Any]] = {}
    for population, known in captions.items():
        chosen = list(known)[:candidates]
        found[population] = retrieval(model, chosen, seed=seed) if chosen else {}
        guessed = zero_shot(model, asked[population], asked["trained"], training)
        scores = score(guessed, asked["trained"], seed=seed)
        found[population] |= {f"zero_shot_{kind}": entry for kind, entry in scores.items()}
    return found
