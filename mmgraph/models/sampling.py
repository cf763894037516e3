"""How a model draws and writes when it is not told otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """Defaults of generation.

    Args:
        guidance: Scale of classifier-free guidance on the text; 1 = none.
        num_steps: Steps of the image head's sampler.
        temperature: Of text; 0 takes the most likely word.
        max_text: Most text tokens written for one answer.
    """

    guidance: float = 2.5
    num_steps: int = 30
    temperature: float = 0.0
    max_text: int = 32
