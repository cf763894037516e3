"""The suite of tokenizers: shapes, inversion, and a state that travels as tensors."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmgraph.errors import UsageError
from mmgraph.pictures import to_float
from mmgraph.sequence import MODALITIES
from mmgraph.testing.stand_ins import TEXTS, pictures
from mmgraph.testing.suite import Suite, close, equal, expect, no_global_randomness
from mmgraph.tokenizers import Tokenizer

TRAINING_STEPS = range(20, 200)
"""Training takes at least and at most so many steps; it ends when a third of what tells pictures apart comes back."""


class TokenizerSuite(Suite):
    """What `mmgraph.tokenizers.Tokenizer` promises.

    Pictures are made in the size that the tokenizer's `image_size` and `channels` say (32 and 3 without);
    for another size or another modality give `contents`. What refuses to be fitted because it is trained is
    trained for a moment by its `reconstruct`.
    """

    contract = Tokenizer
    _ready: Tokenizer | None = None

    def check_declarations(self) -> None:
        """Declares its modality, whether it is discrete, and buffers for what is fitted."""
        tokenizer = self.make()
        modality = getattr(tokenizer, "modality", None)
        expect(modality in MODALITIES, f"`modality` is {modality!r}, not one of {', '.join(MODALITIES)}.")
        for name in ("discrete", "decodes"):
            value = getattr(tokenizer, name, None)
            expect(isinstance(value, bool), f"`{name}` is {value!r}; set it to True or False on the class.")
        buffers = dict(tokenizer.named_buffers())
        missing = [name for name in tokenizer.fitted_buffers if name not in buffers]
        expect(not missing, f"`fitted_buffers` names {', '.join(missing)}; register them in the constructor.")

    def check_fit(self) -> None:
        """Fitting reads contents once, marks it fitted, and gives the same from the same contents."""
        first, second = self.make(), self.make()
        contents = self._contents(first)
        if not first.fitted and _is_trained(first):
            return
        with no_global_randomness("fit"):
            first.fit(iter(contents))
        expect(first.fitted, "`fitted` is False after `fit`; fill every buffer of `fitted_buffers`.")
        second.fit(list(contents))
        other = second.state_dict()
        unequal = [name for name, value in first.state_dict().items() if not equal(value, other[name])]
        unequal = [name for name in unequal if name in first.fitted_buffers]
        expect(not unequal, f"two fits on the same contents give other {', '.join(unequal)}.")

    def check_sizes(self) -> None:
        """Says how many codes there are, or how wide a token is, and how many tokens a picture has."""
        tokenizer = self._fitted()
        size = tokenizer.codebook_size if tokenizer.discrete else tokenizer.token_dim
        name = "codebook_size" if tokenizer.discrete else "token_dim"
        expect(isinstance(size, int) and size > 0, f"`{name}` is {size!r}; expected a positive int.")
        if tokenizer.modality == "text":
            return
        n = tokenizer.num_tokens
        expect(isinstance(n, int) and n > 0, f"`num_tokens` is {n!r}; expected a positive int.")
        try:
            grid = tokenizer.grid
        except ValueError:  # the contract's own answer: tokens that lie on no grid
            return
        expect(math.prod(grid) == n, f"`grid` {grid} does not hold num_tokens {n}.")

    def check_encode(self) -> None:
        """Encoding gives int64 codes below codebook_size, or float vectors of width token_dim."""
        tokenizer = self._fitted()
        contents = self._contents(tokenizer)
        tokens = self._encode(tokenizer, contents)
        expect(len(tokens) == len(contents), f"{len(contents)} contents gave {len(tokens)} results.")
        for index, found in enumerate(tokens):
            where, shape = f"content {index} gave tokens", tuple(found.shape)
            if tokenizer.modality != "text":
                wanted = (tokenizer.num_tokens,) if tokenizer.discrete else self._matrix(tokenizer)
                expect(shape == wanted, f"{where} {shape}; num_tokens and the width say {wanted}.")
            if tokenizer.discrete:
                expect(found.dim() == 1, f"{where} {shape}; expected one axis.")
                expect(found.dtype == torch.int64, f"{where} of {found.dtype}; expected torch.int64.")
                inside = not len(found) or 0 <= int(found.min()) <= int(found.max()) < tokenizer.codebook_size
                expect(inside, f"{where} {found.tolist()}; codes are 0 to {tokenizer.codebook_size - 1}.")
            else:
                expect(found.is_floating_point(), f"{where} of {found.dtype}; expected floating point.")
                expect(found.isfinite().all(), f"{where} that are not finite.")

    def check_one_by_one(self) -> None:
        """A content's tokens do not depend on what is encoded beside it, nor on any random state."""
        tokenizer = self._fitted()
        contents = self._contents(tokenizer)
        with no_global_randomness("encode"):
            together = self._encode(tokenizer, contents)
        for index, content in enumerate(contents):
            alone = self._encode(tokenizer, [content])[0]
            # convolutions choose another algorithm for another batch size: rounding is larger than elsewhere
            same = equal(alone, together[index]) if tokenizer.discrete else close(alone, together[index], 1e-4)
            expect(same, f"content {index} encoded alone differs from the same in a batch; keep rows apart.")

    def check_decode(self) -> None:
        """Decoding undoes encoding: texts up to case and spaces, pictures nearer to their own than others."""
        tokenizer = self._fitted()
        if not tokenizer.decodes:
            return
        contents = self._contents(tokenizer)
        found = self._decode(tokenizer, self._encode(tokenizer, contents))
        if tokenizer.modality == "text":
            for text, again in zip(contents, found, strict=True):
                expect(isinstance(again, str), f"`decode` gave a {type(again).__name__}; expected str.")
                same = _plain(again) == _plain(text)
                expect(same, f"{text!r} came back as {again!r}; what was fitted on must come back.")
        elif tokenizer.modality == "image":
            true = torch.stack(contents)
            shape, wanted = tuple(found.shape), tuple(true.shape)
            good = found.dtype == torch.uint8 and shape == wanted
            expect(good, f"`decode` gave {found.dtype} {shape}; expected torch.uint8 {wanted}.")
            difference = found.float()[:, None] - true.float()[None]
            error = difference.square().flatten(2).mean(-1)  # (N, N)
            own = error.diagonal().mean()
            other = (error.sum() - error.trace()) / (error.numel() - len(error))
            expect(
                own < 0.9 * other,
                f"what comes back is {own:.0f} (mean square) from its picture and {other:.0f} from others; "
                "if weights are loaded, pass `make=` with them.",
            )

    def check_scales(self) -> None:
        """A multi-scale tokenizer gives each scale what earlier ones say, the same from a prefix of whole scales."""
        tokenizer = self._fitted()
        try:
            scales = tokenizer.scales
        except UsageError:  # the contract's own answer
            return
        expect(sum(side * side for side in scales) == tokenizer.num_tokens, f"`scales` {scales} hold no num_tokens.")
        codes = torch.stack(self._encode(tokenizer, self._contents(tokenizer)))
        inputs = tokenizer.scale_inputs(codes)
        wanted = (len(codes), tokenizer.num_tokens, tokenizer.code_dim)
        expect(tuple(inputs.shape) == wanted, f"`scale_inputs` gave {tuple(inputs.shape)}; expected {wanted}.")
        expect(not inputs[:, : scales[0] ** 2].any(), "the inputs of the first scale are not zero: what came before?")
        begin = 0
        for side in scales:
            found = tokenizer.scale_inputs(codes[:, :begin])
            same = close(found, inputs[:, : begin + side * side], 1e-5)
            expect(same, f"from the first {begin} codes alone, `scale_inputs` differs: it reads later codes.")
            begin += side * side

    def check_state(self) -> None:
        """What is fitted travels as tensors: a fresh instance that loads the state does the same."""
        tokenizer = self._fitted()
        fresh = self.make()
        fresh.load_state_dict({name: value.clone() for name, value in tokenizer.state_dict().items()})
        expect(fresh.fitted, "not fitted after loading the state; name its buffers in `fitted_buffers`.")
        self._same(tokenizer, fresh, "a fresh instance that loaded the state")

    def check_copies(self) -> None:
        """A deep copy and a pickled copy do the same."""
        tokenizer = self._fitted()
        self._same(tokenizer, copy.deepcopy(tokenizer), "a deep copy")
        self._same(tokenizer, pickle.loads(pickle.dumps(tokenizer)), "a pickled copy")

    # -- how ------------------------------------------------------------------------------------------------

    def _contents(self, tokenizer: Tokenizer) -> list[Any]:
        if self.contents is not None:
            return list(self.contents)
        if tokenizer.modality == "text":
            return list(TEXTS)
        return pictures(8, getattr(tokenizer, "image_size", 32), getattr(tokenizer, "channels", 3))

    def _fitted(self) -> Tokenizer:
        if self._ready is None:
            tokenizer = self.make()
            if not tokenizer.fitted and _is_trained(tokenizer):
                _train(tokenizer, self._contents(tokenizer))
            elif not tokenizer.fitted:
                tokenizer.fit(iter(self._contents(tokenizer)))
            self._ready = tokenizer.eval()
        return self._ready

    def _same(self, tokenizer: Tokenizer, other: Tokenizer, what: str) -> None:
        contents = self._contents(tokenizer)
        mine, theirs = self._encode(tokenizer, contents), self._encode(other.eval(), contents)
        remedy = "keep in buffers what is fitted, and `restore` what mirrors them."
        expect(equal(mine, theirs), f"{what} encodes otherwise; {remedy}")
        if tokenizer.decodes:
            same = equal(self._decode(tokenizer, mine), self._decode(other, mine))
            expect(same, f"{what} decodes otherwise; {remedy}")

    @staticmethod
    def _matrix(tokenizer: Tokenizer) -> tuple[int, int]:
        return tokenizer.num_tokens, tokenizer.token_dim

    @staticmethod
    def _encode(tokenizer: Tokenizer, contents: Sequence[Any]) -> list[Tensor]:
        with torch.no_grad():
            batch = list(contents) if tokenizer.modality == "text" else torch.stack(list(contents))
            return list(tokenizer.encode(batch))

    @staticmethod
    def _decode(tokenizer: Tokenizer, tokens: list[Tensor]) -> Any:
        with torch.no_grad():
            return tokenizer.decode(tokens if tokenizer.modality == "text" else torch.stack(tokens))


def _is_trained(tokenizer: Tokenizer) -> bool:
    """Whether its weights come from training an autoencoder, so that it refuses to be fitted."""
    return type(tokenizer).reconstruct is not Tokenizer.reconstruct


def _train(tokenizer: Tokenizer, contents: list[Tensor]) -> None:
    """Take a few steps on the reconstruction, then measure the statistics of the latents."""
    optimizer = torch.optim.AdamW(tokenizer.parameters(), 3e-3)
    target = to_float(torch.stack(contents))
    between = target.var(0, unbiased=False).mean()
    for step in range(TRAINING_STEPS.stop):
        given, losses = tokenizer.reconstruct(target)
        error = F.mse_loss(given, target)
        if step >= TRAINING_STEPS.start and error < 0.7 * between:
            break
        optimizer.zero_grad()
        torch.stack([error, *losses.values()]).sum().backward()
        optimizer.step()
    standardize = getattr(tokenizer, "standardize", None)
    if standardize is not None:
        standardize(contents)
    if not tokenizer.fitted:
        raise UsageError("it cannot be fitted or trained here; pass `make=` that gives it with its weights.")


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


SUITE = TokenizerSuite
