"""One trained model at work: it draws, answers and names, and tells each step as it comes.

Everything goes through `mmgraph.generation`, so the page shows what `mmgraph generate` and `mmgraph ask` give.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmgraph import generation
from mmgraph.demo import pixels
from mmgraph.demo.requests import DrawRequest, TellRequest
from mmgraph.demo.words import Words
from mmgraph.errors import UsageError
from mmgraph.models import UnifiedModel
from mmgraph.pictures import to_square
from mmgraph.sequence import Sample, Segment, Span
from mmgraph.vocabulary import MARKERS

Tell = Callable[[dict[str, Any]], None]
"""Takes one event for the page; raises to stop the work."""

ALTERNATIVES = 5


class Studio:
    """A model and what the page can do with it.

    Args:
        model: A trained model.
        reference: How the user named it.
        size: Side of the pictures that it reads; None: that of its image tokenizer.

    Raises:
        UsageError: If it is no model that draws or answers.
    """

    def __init__(self, model: Any, reference: str, *, size: int | None = None) -> None:
        if not isinstance(model, UnifiedModel):
            raise UsageError(
                f"the {type(model).__name__} of {reference} neither draws nor answers; the demo needs a trained "
                "UnifiedModel, for example zoo:transfusion_long or a run of `mmgraph fit -c transfusion`."
            )
        self.model = model
        self.reference = reference
        self.words = Words(model)
        images = [part for part in model.tokenizers.values() if part.modality == "image"]
        sizes = [getattr(part, "image_size", None) for part in images]
        self.size: int | None = size or next((found for found in sizes if found is not None), None)
        self.channels: int = next((getattr(part, "channels", 3) for part in images), 3)

    def open_sample(self, task: str, *context: Segment, key: int = 0) -> Sample:
        """Return a sample whose last segment the model is to produce: a picture for `draw`, else text."""
        modality = "image" if task == "draw" else "text"
        return Sample((*context, Segment(modality, None, target=True)), task, key)

    def refusal(self, task: str) -> str | None:
        """Return why the model cannot do a task; None if it can."""
        context = {
            "draw": (Segment("text", ""),),
            "name": (Segment("image", None),),
            "ask": (Segment("image", None), Segment("text", "")),
        }[task]
        try:
            span = self.model.spans(self.open_sample(task, *context), False)[-1]
        except UsageError as error:
            return str(error)
        return None if span.head is not None else f"this model has no head for {span.modality}."

    # -- drawing --------------------------------------------------------------------------------------------

    def draw(self, request: DrawRequest, tell: Tell) -> None:
        """Draw, telling after each step the pictures so far and what the model read."""
        self._tell_unknown(request.caption, tell)
        caption = Segment("text", request.caption)
        samples = [self.open_sample("draw", caption, key=key) for key in range(request.count)]
        span = self.model.spans(samples[0], False)[-1]
        steps = request.steps or self.model.sampling.num_steps
        read: list[tuple[Tensor, Tensor | None]] = []
        began = time.perf_counter()
        painting = generation.paint(
            self.model,
            samples,
            guidance=request.guidance,
            num_steps=request.steps,
            seed=request.seed,
            watch=lambda inputs, when: read.append((inputs, when)),
        )
        for number, pictures in enumerate(painting, 1):
            inputs, when = read[-1] if read else (None, None)
            read.clear()
            event = {"event": "step", "step": number, "steps": steps, "pictures": pixels.strip(pictures)}
            event["time"] = None if when is None or not when.numel() else round(float(when.flatten()[0]), 4)
            event["read"] = self._noised(span, inputs) if inputs is not None and event["time"] is not None else None
            tell(event)
        tell({"event": "done", "seconds": _since(began), "command": self._draw_command(request)})

    def _noised(self, span: Span, inputs: Tensor) -> str | None:
        """Return what the model read as a picture, where the tokens between noise and data have one."""
        tokenizer = self.model.tokenizer(span.tokenizer)
        if tokenizer.discrete or not tokenizer.decodes:
            return None
        with torch.inference_mode():
            return pixels.strip(tokenizer.decode(inputs.to(self.model.device)).cpu())

    def _draw_command(self, request: DrawRequest) -> str:
        words = ["mmgraph", "generate", "--run", self.reference, *[request.caption] * request.count]
        for flag, value in (("--guidance", request.guidance), ("--steps", request.steps), ("--seed", request.seed)):
            if value is not None:
                words += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
        return shlex.join(words)

    # -- answering ------------------------------------------------------------------------------------------

    def view(self, picture: Tensor) -> Tensor:
        """Return a colour picture as the model reads it: square, in its size and channels."""
        picture = picture if self.size is None else to_square(picture, self.size)
        return pixels.with_channels(picture, self.channels)

    def tell_about(self, request: TellRequest, tell: Tell) -> None:
        """Answer or name, telling each token as it comes, with its probability and what else might stand there."""
        picture = Segment("image", self.view(pixels.unstrip(request.picture)))
        if request.question is None:
            sample = self.open_sample("name", picture)
        else:
            self._tell_unknown(request.question, tell)
            sample = self.open_sample("ask", picture, Segment("text", request.question))
        tokenizer = self.model.spans(sample, False)[-1].tokenizer
        certainty = 1.0

        def watch(ids: Tensor, probabilities: Tensor) -> None:
            nonlocal certainty
            chosen, given = int(ids[0]), probabilities[0]
            certainty *= float(given[chosen])
            best = given.topk(min(ALTERNATIVES, len(given)))
            tell(
                {
                    "event": "token",
                    **self._token(tokenizer, chosen, float(given[chosen])),
                    "alternatives": [
                        self._token(tokenizer, index, value)
                        for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                        if value > 0
                    ],
                }
            )

        began = time.perf_counter()
        text, _ = generation.write(self.model, [sample], watch=watch)[0]
        tell({"event": "done", "text": text, "probability": round(certainty, 6), "seconds": _since(began)})

    def _token(self, tokenizer: str, index: int, probability: float) -> dict[str, Any]:
        end = index < len(MARKERS)
        text = ""
        if not end:
            code = self.model.vocabulary.codes(tokenizer, torch.tensor([index]))
            text = self.model.tokenizer(tokenizer).decode([code])[0]
        return {"text": text, "end": end, "probability": round(probability, 6)}

    def _tell_unknown(self, text: str, tell: Tell) -> None:
        unknown = self.words.unknown(text)
        if unknown:
            tell({"event": "unknown", "words": unknown})


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 3)
