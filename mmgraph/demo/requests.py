"""What the page may ask for, checked field by field: every limit of the demo is here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmgraph.errors import UsageError

MAX_TEXT = 400
MAX_PICTURES = 8
MAX_STEPS = 200
MAX_GUIDANCE = 20.0
MAX_SEED = 2**31 - 1
MAX_PNG = 700_000
"""Characters of a picture that the page sends back, in base64."""


@dataclass(frozen=True)
class DrawRequest:
    """Pictures to draw.

    Args:
        caption: What to draw.
        guidance: Scale of guidance on the text; None = the model's default.
        steps: Steps of the sampler; None = the model's default.
        seed: Decides the noise.
        count: How many pictures.
    """

    caption: str
    guidance: float | None = None
    steps: int | None = None
    seed: int = 0
    count: int = 1

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> DrawRequest:
        """Check what the page sent.

        Raises:
            UsageError: Naming the field and what it may be.
        """
        _only(fields, "caption", "guidance", "steps", "seed", "count")
        return cls(
            _text(fields, "caption", "a caption, for example: red heart"),
            _number(fields, "guidance", 0.0, MAX_GUIDANCE, None),
            _whole(fields, "steps", 1, MAX_STEPS, None),
            _whole(fields, "seed", 0, MAX_SEED, 0) or 0,
            _whole(fields, "count", 1, MAX_PICTURES, 1) or 1,
        )


@dataclass(frozen=True)
class TellRequest:
    """A picture to name, or to answer a question about.

    Args:
        picture: PNG in base64.
        question: The question; None = name the picture.
    """

    picture: str
    question: str | None = None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> TellRequest:
        """Check what the page sent.

        Raises:
            UsageError: Naming the field and what it may be.
        """
        _only(fields, "picture", "question")
        picture = fields.get("picture")
        if not isinstance(picture, str) or not picture:
            raise UsageError("there is no picture yet: upload one, draw one, or take one of the test pictures.")
        if len(picture) > MAX_PNG:
            raise UsageError("the picture is larger than what the model reads; choose it again.")
        asks = fields.get("question") is not None
        return cls(picture, _text(fields, "question", "a question about the picture") if asks else None)


def parse(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a request's body.

    Raises:
        UsageError: If it is none.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is no JSON.") from error
    if not isinstance(fields, dict):
        raise UsageError("the request is no JSON object.")
    return fields


def _only(fields: Mapping[str, Any], *known: str) -> None:
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise UsageError(f"the request has an unknown field '{unknown[0][:40]}'. Known: {', '.join(known)}.")


def _text(fields: Mapping[str, Any], name: str, wanted: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"write {wanted}.")
    if len(value) > MAX_TEXT:
        raise UsageError(f"the {name} has {len(value)} characters; write at most {MAX_TEXT}.")
    if not value.isprintable():
        raise UsageError(f"the {name} holds characters that cannot be printed; write it on one line.")
    return value.strip()


def _number(fields: Mapping[str, Any], name: str, least: float, most: float, default: float | None) -> float | None:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:  # NaN is neither
        raise UsageError(f"{name} must be a number from {least:g} to {most:g}.")
    return float(value)


def _whole(fields: Mapping[str, Any], name: str, least: int, most: int, default: int | None) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{name} must be a whole number from {least} to {most}.")
    return value
