"""Shapes: a generated world with known truth, and an oracle that reads it back from any picture.

What GenEval and CLEVR are for large models, in miniature: every attribute, relation and answer is known, so
drawing and answering can be marked exactly, on combinations never seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmgraph.datasets import Dataset, Protocol, Split
from mmgraph.errors import UsageError, nearest
from mmgraph.sequence import Sample, Segment
from mmgraph_datasets.division import PROTOCOL_VERSION, SPLITS, hold_out_evenly, split_of
from mmgraph_datasets.shapes_cooccurrence import PROBES, bias, lures, pair, probe, probes
from mmgraph_datasets.shapes_grammar import (
    ANSWERS,
    COUNTS,
    PROBE,
    USUAL,
    Question,
    ask,
    canonical,
    caption,
    caption_entropy,
)
from mmgraph_datasets.shapes_oracle import check
from mmgraph_datasets.shapes_shades import CHOICES, REQUESTS, check_movable, give_shades, moved, request
from mmgraph_datasets.shapes_world import COLOURS, MAX_OBJECTS, PLACES, SHAPES, Scene, render, scene

WORLD = "shapes"


class ShapesDataset(Dataset):
    """Generated scenes of one to three things with captions, questions and exact truth.

    Scene i is a function of (world_seed, i). Captions tell size, colour, shape and place of each thing, or
    the relation of two; a picture is named by one canonical caption. Questions: colour, shape, size, place,
    count, exists and relation (yes and no equally often: exactly in evaluation, by a fair coin in training),
    and of two hops: `what colour is the thing left of the red square ?`. The question `probe` asks for a shape
    alone, `is there a bar ?`, where `questions` names it. An evaluation tells five kinds of it apart, and where the
    right answer is no, 1 - accuracy is the rate of false yes. For the last of the shapes (of all: the bar) they are
    `probe_companion` (it is there), `probe_adversarial` (it is not, but a ring is: the scenes that `cooccurrence`
    makes rare) and `probe_popular` (neither is); for another shape `probe_present` and `probe_random`.

    Four more tasks are there where they are asked for: `write` gives a caption alone, language modelling with a known
    floor, which `entropy` computes; `guess` gives a question and its answer without the picture, which teaches what
    the answers to a question are, and no more; `both` gives a caption and its picture, both to be produced; `move`
    gives the picture of one thing and `the same at the top left`, and wants this very thing there. With several
    `shades` no words tell which one it has.

    An item is an int: the number of its scene; behind all scenes come their things at each of the nine places.

    Shapes:
        picture: uint8 `(3, image_size, image_size)`, white background.

    Args:
        batch_size: Samples per step and process.
        tasks: Weight of each task (draw, name, ask, write, guess, both, move) in training; None: the first three alike.
        protocol: `random`: each scene by itself; `grouped`: all scenes of the same things (size, colour,
            shape) on one side, wherever the things stand; `compositional`: pairs of colour and shape held
            out, 15 % of them; a scene that shows one is a test scene.
        seed: Decides the stream of training samples.
        steps_per_epoch: Batches of one epoch; None: one pass over the training scenes.
        image_size: Side of the pictures in pixels, 16 to 64.
        num_scenes: Number of scenes, all splits together.
        train_scenes: Train on the first so many of the training scenes; None: on all. The other splits stay whole.
        max_objects: Largest number of things in a scene, 1 to 3.
        world_seed: Another number, another world of scenes.
        num_colours: The first so many of red, green, blue, yellow, purple, black, orange, pink.
        num_shapes: The first so many of square, ring, triangle, cross, moon, bar.
        paraphrases: Whether training draws from several wordings; else the canonical caption only.
        questions: Kinds of questions to ask; None: all that apply but `probe`.
        evaluation_scenes: Largest number of scenes that one evaluation scores.
        cooccurrence: Probability that a training scene with a ring is made to show the last of the shapes too, in
            place of another thing or as a second. Scenes of val and test stay uniform.
        negative_probes: Share of the training probes that ask for the last of the shapes where a ring is without
            it, in a training scene drawn from all such; the answer is no.
        shades: Shades of each colour, 1 to 3: lighter, plain and darker, or the first and the last of them. No caption
            and no question tells them; `check` does.
        spell_out: Whether `move` has the caption of what it wants written before the picture: what a model must learn
            to write that has a tool draw for it.

    Raises:
        UsageError: If a number or a kind of question is not among these, if `move` meets scenes of several things, or a
            split has no scenes.

    Reference:
        Li et al., Evaluating Object Hallucination in Large Vision-Language Models, 2023 (arXiv 2305.10355), for
            the probes.
        Liu et al., Mitigating Hallucination in Large Multi-Modal Models via Robust Instruction Tuning, 2023
            (arXiv 2306.14565), for training on questions whose answer is no.
    """

    protocol_version = PROTOCOL_VERSION
    supported_tasks = (*Dataset.supported_tasks, "write", "guess", "both", "move")

    def __init__(
        self,
        batch_size: int = 64,
        tasks: Mapping[str, float] | None = None,
        *,
        protocol: Protocol = "random",
        seed: int = 0,
        steps_per_epoch: int | None = None,
        image_size: int = 24,
        num_scenes: int = 10_000,
        train_scenes: int | None = None,
        max_objects: int = 2,
        world_seed: int = 0,
        num_colours: int = len(COLOURS),
        num_shapes: int = len(SHAPES),
        paraphrases: bool = True,
        questions: list[str] | None = None,
        evaluation_scenes: int = 200,
        cooccurrence: float = 0.0,
        negative_probes: float = 0.0,
        shades: int = 1,
        spell_out: bool = False,
    ) -> None:
        tasks = dict.fromkeys(Dataset.supported_tasks, 1.0) if tasks is None else tasks
        super().__init__(batch_size, tasks, protocol=protocol, seed=seed, steps_per_epoch=steps_per_epoch)
        for name, value, low, high in (
            ("image_size", image_size, 16, 64),
            ("num_scenes", num_scenes, 20, 10_000_000),
            ("max_objects", max_objects, 1, MAX_OBJECTS),
            ("num_colours", num_colours, 2, len(COLOURS)),
            ("num_shapes", num_shapes, 2, len(SHAPES)),
            ("evaluation_scenes", evaluation_scenes, 1, 10_000_000),
            ("cooccurrence", cooccurrence, 0, 1),
            ("negative_probes", negative_probes, 0, 1),
            ("shades", shades, 1, len(CHOICES)),
        ):
            if not low <= value <= high:
                raise UsageError(f"{name} must be from {low} to {high}, not {value}.")
        for kind in questions or ():
            if kind not in ANSWERS:
                raise UsageError(f"unknown kind of question '{kind}'. {nearest(kind, ANSWERS)}")
        self.image_size = image_size
        self.max_objects = max_objects
        self.world_seed = world_seed
        self.paraphrases = paraphrases
        self.evaluation_scenes = evaluation_scenes
        self.shades, self.spell_out = shades, spell_out
        self.colours, self.shapes = tuple(COLOURS)[:num_colours], SHAPES[:num_shapes]
        several = {"count", "relation", "hop_colour", "hop_shape"}
        self.questions = [k for k in ANSWERS if k in (questions or USUAL) and (max_objects > 1 or k not in several)]
        if self.tasks.get("move", 0) > 0:
            check_movable(max_objects)
        if not self.questions and self.tasks.get("ask", 0) > 0:
            raise UsageError(f"the questions {', '.join(questions or ())} need max_objects of 2 or 3.")
        possible = {*self.colours, *self.shapes, *COUNTS[:max_objects]}
        self._choices = {
            kind: tuple(a for a in answers if a in possible or kind in ("size", "place", "exists", "relation"))
            for kind, answers in ANSWERS.items()
        }
        self._choices.update(dict.fromkeys(PROBES, ANSWERS[PROBE]))
        self.scenes = [
            scene(world_seed, i, max_objects=max_objects, colours=self.colours, shapes=self.shapes)
            for i in range(num_scenes)
        ]
        self.description = f"{num_scenes} generated scenes of 1 to {max_objects} shapes, {image_size} px"
        self.description += f", {shades} shades a colour" if shades > 1 else ""
        self.pairs = hold_out_evenly(self.colours, self.shapes, WORLD)
        self._items: dict[Split, list[int]] = {split: [] for split in SPLITS}
        for i in range(num_scenes):
            self._items[self._split(i, self.scenes[i])].append(i)
        if train_scenes is not None and not 1 <= train_scenes <= len(self._items["train"]):
            most = len(self._items["train"])
            raise UsageError(f"train_scenes must be from 1 to the {most} training scenes, not {train_scenes}.")
        self._items["train"] = self._items["train"][:train_scenes]
        if not all(self._items.values()):
            sizes = ", ".join(f"{split} {len(items)}" for split, items in self._items.items())
            raise UsageError(f"{num_scenes} scenes leave a split empty ({sizes}); raise num_scenes.")
        self.cooccurrence, self.negative_probes = cooccurrence, negative_probes
        self._lures = self._bias()
        give_shades(self.scenes, shades, seed=f"{WORLD}:shades:{world_seed}")
        self._pictures = torch.empty(num_scenes, 3, image_size, image_size, dtype=torch.uint8)
        self._drawn = bytearray(num_scenes)

    def _split(self, number: int, pictured: Scene) -> Split:
        if self.protocol == "compositional":
            shown = {self.pairs[t.colour, t.shape] for t in pictured.things}
            return "test" if "test" in shown else "val" if "val" in shown else "train"
        if self.protocol == "grouped":
            return split_of(WORLD, "grouped", pictured.key)
        return split_of(WORLD, "random", self.world_seed, number)

    def _bias(self) -> list[int]:
        """Change training scenes as `cooccurrence` asks; return those with a ring alone that are left."""
        if self.cooccurrence and (self.max_objects < 2 or len(self.shapes) < 3):
            raise UsageError("cooccurrence needs max_objects of 2 or more and num_shapes of 3 or more.")
        if PROBE in self.questions and len(self.shapes) < 3:
            raise UsageError(f"the question {PROBE} needs num_shapes of 3 or more, not {len(self.shapes)}.")
        if self.negative_probes and PROBE not in self.questions:
            raise UsageError(f"negative_probes needs the question {PROBE}; questions has {', '.join(self.questions)}.")
        if self.cooccurrence:
            bias(
                self.scenes,
                self._items["train"],
                self.cooccurrence,
                shapes=self.shapes,
                colours=self.colours,
                seed=f"{WORLD}:companion:{self.world_seed}",
                allowed=lambda number, changed: self._split(number, changed) == "train",
            )
        left = [i for i in self._items["train"] if lures(self.scenes[i], self.shapes)] if self.negative_probes else []
        if self.negative_probes and not left:
            first, companion = pair(self.shapes)
            raise UsageError(f"negative_probes finds no training scene with a {first} and no {companion}.")
        return left

    # -- the contract -------------------------------------------------------------------------------------

    def items(self, split: Split) -> Sequence[int]:
        """Return the numbers of a split's scenes."""
        return self._items[split]

    def picture(self, item: int) -> Tensor:
        """Return the picture of a scene, uint8 `(3, image_size, image_size)`; drawn once, unless a thing is moved."""
        if item >= len(self.scenes):
            return render(self._scene(item), self.image_size)
        if not self._drawn[item]:
            self._pictures[item] = render(self.scenes[item], self.image_size)
            self._drawn[item] = 1
        return self._pictures[item]

    def identity(self, item: int) -> str:
        """Return the canonical caption: scenes that share it differ in nothing that words tell."""
        return canonical(self._scene(item))

    def sample(self, split: Split, item: int, task: str, rng: random.Random) -> Sample:
        """Return one sample; the wording and the question are drawn from `rng`."""
        if task == "draw":
            return self._draw(item, caption(self.scenes[item], rng) if self.paraphrases else None)
        if task in ("write", "move"):
            return self._write(item, rng) if task == "write" else self._move(item, rng)
        if task == "both":
            return self._both(item)
        if task == "guess":
            return blind(self.sample(split, item, "ask", rng))
        if task == "ask":
            for kind in rng.sample(self.questions, len(self.questions)):
                if kind == PROBE and split == "train" and rng.random() < self.negative_probes:
                    item = rng.choice(self._lures)
                    return self._ask(item, probe(self.scenes[item], self.shapes[-1], self.shapes))
                found = self._questions(split, item, kind, rng)
                if found:
                    return self._ask(item, rng.choice(found))
        return self._name(item)

    def contents(self, modality: str) -> Iterable[Any]:
        """Yield the training pictures, or captions, questions and answers of the training scenes."""
        if modality == "image":
            return (self.picture(i) for i in self._items["train"])
        return self._texts() if modality == "text" else ()

    def evaluation(self, split: Split, task: str, limit: int | None = None) -> list[Sample]:
        """Return the fixed samples of a task for the first `evaluation_scenes` scenes of a split.

        Pictures are drawn from the canonical caption; captions alone are worded as in training. For `ask`,
        each kind of question that applies is asked once per scene, yes/no questions once with each answer.
        """
        found: list[Sample] = []
        for item in self._items[split][: self.evaluation_scenes]:
            if limit is not None and len(found) >= limit:
                break
            if task in ("draw", "name", "both", "write", "move"):
                found.append(getattr(self, f"_{task}")(item))
            elif task in ("ask", "guess"):
                rng = random.Random(f"{WORLD}:ask:{self.world_seed}:{item}")
                for kind in self.questions:
                    asked = [self._ask(item, q) for q in self._questions(split, item, kind, rng, training=False)]
                    asked = [blind(sample) for sample in asked] if task == "guess" else asked
                    if limit is None or len(found) + len(asked) <= limit:
                        found += asked
        return found

    # -- known truth --------------------------------------------------------------------------------------

    def check(self, item: int, picture: Tensor) -> dict[str, bool]:
        """Return which attributes of scene `item` a drawn picture shows; see `shapes_oracle.check`."""
        return check(picture, self._scene(item), self.shades)

    def entropy(self) -> float:
        """Return the exact entropy, in nats, of a caption of the world's training split.

        The training scenes are draws of this distribution, so it bounds the loss on new scenes.

        Raises:
            UsageError: Under the grouped protocol or with `cooccurrence`, which have no closed form.
        """
        if self.cooccurrence:
            raise UsageError("the entropy of captions has no closed form under cooccurrence; set it to 0.")
        if self.protocol == "grouped":
            raise UsageError("the entropy of captions is exact under protocols random and compositional only.")
        allowed = None
        if self.protocol == "compositional":
            allowed = sum(split == "train" for split in self.pairs.values())
        return caption_entropy(self.max_objects, pairs=len(self.pairs), allowed=allowed, paraphrases=self.paraphrases)

    # -- parts of samples -----------------------------------------------------------------------------------

    def _questions(
        self, split: Split, item: int, kind: str, rng: random.Random, *, training: bool = True
    ) -> list[Question]:
        """Return the questions of a kind; the no of `exists` shows a thing of another scene of the split.

        So that a pair never seen in training is no sign of a yes.
        """
        if kind == PROBE:
            return probes(self.scenes[item], self.shapes, rng, training=training)
        absent = None
        if kind == "exists":
            shown = {(t.colour, t.shape) for t in self.scenes[item].things}
            for _ in range(32):
                other = rng.choice(self.scenes[rng.choice(self._items[split])].things)
                if (other.colour, other.shape) not in shown:
                    absent = (other.colour, other.shape)
                    break
            else:
                return []
        return ask(self.scenes[item], kind, rng, absent)

    def _meta(self, item: int, **more: Any) -> dict[str, Any]:
        pictured = self._scene(item)
        return {"item": item, "concept": pictured.key, "name": canonical(pictured), **more}

    def _scene(self, item: int) -> Scene:
        behind, number = divmod(item, len(self.scenes))
        return moved(self.scenes[number], behind - 1) if behind else self.scenes[number]

    def _draw(self, item: int, text: str | None = None) -> Sample:
        text = canonical(self.scenes[item]) if text is None else text
        segments = (Segment("text", text), Segment("image", self.picture(item), target=True))
        return Sample(segments, "draw", item, self._meta(item, caption=text))

    def _both(self, item: int) -> Sample:
        text = canonical(self.scenes[item])
        segments = (Segment("text", text, target=True), Segment("image", self.picture(item), target=True))
        return Sample(segments, "both", item, self._meta(item, caption=text))

    def _move(self, item: int, rng: random.Random | None = None) -> Sample:
        drawn = rng or random.Random(f"{WORLD}:move:{self.world_seed}:{item}")
        place = drawn.choice([k for k, name in enumerate(PLACES) if name != self.scenes[item].things[0].place])
        wanted = item + (1 + place) * len(self.scenes)
        said = canonical(self._scene(wanted))
        segments = (
            Segment("image", self.picture(item)),
            Segment("text", request(place, rng if self.paraphrases else None)),
            *((Segment("text", said, target=True),) if self.spell_out else ()),
            Segment("image", self.picture(wanted), target=True),
        )
        return Sample(segments, "move", item, self._meta(wanted, caption=said))

    def _write(self, item: int, rng: random.Random | None = None) -> Sample:
        rng = rng or random.Random(f"{WORLD}:write:{self.world_seed}:{item}")
        text = caption(self.scenes[item], rng) if self.paraphrases else canonical(self.scenes[item])
        return Sample((Segment("text", text, target=True),), "write", item, self._meta(item, caption=text))

    def _name(self, item: int) -> Sample:
        name = canonical(self.scenes[item])
        segments = (Segment("image", self.picture(item)), Segment("text", name, target=True))
        return Sample(segments, "name", item, self._meta(item, answer=name))

    def _ask(self, item: int, asked: Question) -> Sample:
        segments = (
            Segment("image", self.picture(item)),
            Segment("text", asked.text),
            Segment("text", asked.answer, target=True),
        )
        meta = self._meta(
            item, kind=asked.kind, question=asked.text, answer=asked.answer, choices=self._choices[asked.kind]
        )
        return Sample(segments, "ask", item, meta)

    def _texts(self) -> Iterator[str]:
        rng = random.Random(f"{WORLD}:texts:{self.world_seed}")
        for item in self._items["train"]:
            yield canonical(self.scenes[item])
            if self.paraphrases:
                yield caption(self.scenes[item], rng)
            for kind in self.questions:
                for asked in self._questions("train", item, kind, rng):
                    yield from (asked.text, asked.answer)
        if "move" in self.tasks:
            yield from REQUESTS


def blind(asked: Sample) -> Sample:
    """Return a sample without its picture."""
    return replace(asked, segments=asked.segments[1:], task="guess")
