from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmgraph import testing, tokenizers
from mmgraph.testing.stand_ins import TEXTS, pictures
from tests.testing.broken import broken

Byte = tokenizers.byte
Patch = tokenizers.patch
Word = tokenizers.word


class TestTokenizers:
    def test_state_outside_the_buffers(self):
        class Forgetful(Word):
            """Keeps its words in Python only."""

            fitted_buffers = ()

            def __init__(self) -> None:
                super().__init__()

            @property
            def fitted(self) -> bool:
                return bool(self._names)

            def restore(self) -> None:
                self._names = ["<unk>", *sorted({w for text in TEXTS for w in text.lower().split()})]
                self._codes = {name: code for code, name in enumerate(self._names)}

            def _load_from_state_dict(self, *arguments: Any) -> None:
                pass

        broken("tokenizers", Forgetful, "travels as tensors", "not fitted after loading")

    def test_random_codes(self):
        class Noisy(Patch):
            """Adds noise from the global state."""

            def __init__(self) -> None:
                super().__init__()

            def encode(self, contents: Tensor) -> Tensor:
                return super().encode(contents) + 1e-3 * torch.randn(1)

        broken("tokenizers", Noisy, "nor on any random state", "torch's global random state")

    def test_normalised_over_the_batch(self):
        class Centred(Patch):
            """Subtracts the batch's mean."""

            def __init__(self) -> None:
                super().__init__()

            def encode(self, contents: Tensor) -> Tensor:
                tokens = super().encode(contents)
                return tokens - tokens.mean(0)

        broken("tokenizers", Centred, "do not depend on what is encoded beside", "keep rows apart")

    @pytest.mark.parametrize(
        ("changes", "promise", "message"),
        [
            ({"codebook_size": 100}, "int64 codes", "codes are 0 to 99"),
            ({"modality": "smell"}, "Declares", "'smell', not one of text"),
            ({"discrete": None}, "Declares", "set it to True or False"),
            ({"fitted_buffers": ("table",)}, "Declares", "register them"),
            ({"decode": lambda self, tokens: ["?" for _ in tokens]}, "Decoding undoes", "came back as '?'"),
            ({"__doc__": None}, "documented", "has no docstring"),
        ],
    )
    def test_one_thing_wrong(self, changes, promise, message):
        def __init__(self) -> None:  # noqa: N807
            Byte.__init__(self)

        cls = type("Odd", (Byte,), {"__doc__": "Bytes.", "__init__": __init__, **changes})
        broken("tokenizers", cls, promise, message)

    def test_a_fit_that_reads_twice(self):
        class Twice(Word):
            """Reads the texts a second time."""

            def __init__(self) -> None:
                super().__init__()

            def fit(self, contents: Any) -> None:
                list(contents)
                super().fit(contents)

        broken("tokenizers", Twice, "reads contents once", "no word")

    def test_contents_of_ones_own(self):
        big = pictures(4, 48)
        testing.assert_conforms("tokenizers", Patch, lambda: Patch(48, 8), contents=big)
        with pytest.raises(AssertionError, match=r"\(3, 32, 32\)"):
            testing.assert_conforms("tokenizers", Patch, contents=big)
