"""The suite of heads: own draws only, losses that add up, and sampling that repeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmgraph.errors import UsageError
from mmgraph.heads import Head, Prepared
from mmgraph.randomness import SampleRandom
from mmgraph.testing.stand_ins import CONDITION_DIM, DIM, Codes, ScaleCodes, Vectors
from mmgraph.testing.suite import Suite, close, equal, expect, no_global_randomness, stir
from mmgraph.vocabulary import Vocabulary

SPANS = 3
STEPS = 5


class HeadSuite(Suite):
    """What `mmgraph.heads.Head` promises."""

    contract = Head

    def check_declarations(self) -> None:
        """Declares discrete, order, timed and shift."""
        both = (True, False)
        for name, allowed in (("discrete", both), ("timed", both), ("order", ("causal", "full"))):
            value = getattr(self.cls, name, None)
            expect(value in allowed, f"`{name}` is {value!r}; set it to one of {allowed} on the class.")
        shift = getattr(self.cls, "shift", None)
        expect(isinstance(shift, int) and shift >= 0, f"`shift` is {shift!r}; set 0 or more on the class.")

    def check_order(self) -> None:
        """The order on a span is its `order`, or blocks: one number per token that never falls."""
        head, _ = self._built()
        n = self._tokenizer().num_tokens
        found = head.span_order(n)
        if found in ("causal", "full"):
            return
        blocks = isinstance(found, tuple) and len(found) == n and found[0] == 0 and list(found) == sorted(found)
        expect(blocks, f"`span_order({n})` is {found!r}; expected 'causal', 'full' or {n} numbers from 0 on.")
        expect(not head.shift, "a head with blocks has shift 0: its hidden states predict their own places.")

    def check_places(self) -> None:
        """Places are a permutation, and `arrange` brings the first tokens drawn by rising place."""
        head, _ = self._built()
        tokens = self._tokens()
        n = tokens.shape[1]
        order = head.places(n)
        if order is not None:
            expect(order.sort().values.tolist() == list(range(n)), f"`places({n})` is {order}; expected a permutation.")
        for k in (1, n - 1, n):
            first = torch.arange(k) if order is None else order[:k]
            found = head.arrange(tokens[:, first])
            expect(equal(found, tokens[:, first.sort().values]), f"`arrange` leaves {k} tokens in another order.")

    def check_refusal(self) -> None:
        """Refuses a tokenizer of the other kind with a UsageError that names it."""
        wrong = Vectors() if self.cls.discrete else Codes()  # type: ignore[attr-defined]
        try:
            self.make().build(wrong, _vocabulary(), DIM, CONDITION_DIM)
        except UsageError as error:
            name = type(wrong).__name__
            expect(name in str(error), f"the refusal does not name the tokenizer {name}: {error}")
        else:
            gives = "codes" if wrong.discrete else "vectors"
            expect(False, f"`build` accepts a tokenizer that gives {gives}; raise a UsageError.")

    def check_embed(self) -> None:
        """What it embeds itself has the model's width, and a part is embedded as in the whole."""
        head, _ = self._built()
        if not head.embeds:
            return
        inputs = head.prepare(self._tokens(), random=_random()).inputs
        whole = head.embed(inputs, self._usual())
        wanted = (*inputs.shape[:2], DIM)
        expect(tuple(whole.shape) == wanted, f"`embed` gives {tuple(whole.shape)}; expected {wanted}.")
        part = head.embed(inputs[:, 1:], self._usual(), 1)
        expect(close(part, whole[:, 1:]), "`embed` of a part from offset 1 differs from that part of the whole.")

    def check_prepare(self) -> None:
        """Prepared inputs, targets, mask and time have the shapes of the contract."""
        head, _ = self._built()
        prepared = head.prepare(self._tokens(), random=_random())
        lead = tuple(self._tokens().shape[:2])
        for name in ("inputs", "targets", "score_mask"):
            shape = tuple(getattr(prepared, name).shape)
            expect(shape[:2] == lead, f"`{name}` is {shape}; its leading axes must be {lead}.")
        dtype = prepared.score_mask.dtype
        expect(dtype == torch.bool, f"`score_mask` is {dtype}; expected torch.bool.")
        time = prepared.time
        expect((time is not None) == head.timed, f"`timed` is {head.timed}, but the prepared time is {time}.")
        if time is not None:
            inside = time.shape == (SPANS,) and bool((time >= 0).all()) and bool((time <= 1).all())
            expect(inside, f"time is {time}; expected {SPANS} numbers in [0, 1], 0 = noise and 1 = data.")

    def check_draws(self) -> None:
        """Every draw comes from the streams given: same streams, same draws, whatever is in the batch."""
        head, _ = self._built()
        tokens = self._tokens()
        with no_global_randomness("prepare"):
            first = head.prepare(tokens, random=_random())
        again = head.prepare(tokens, random=_random())
        alone = head.prepare(tokens[1:2], random=_random().select([1]))
        other = head.prepare(tokens, random=_random(seed=1))
        drew = False
        for name, value in vars(first).items():
            if value is None:
                continue
            same, part = equal(value, getattr(again, name)), equal(value[1:2], getattr(alone, name))
            expect(same, f"the same streams gave other `{name}`; draw from `random` only.")
            expect(part, f"`{name}` of span 1 depends on its batch; draw one row per stream.")
            drew = drew or not equal(value, getattr(other, name))
        expect(drew or not head.timed, "another seed gives the same time and noise; draw them from `random`.")

    def check_fixed(self) -> None:
        """Time and noise that are given are used, so that comparisons can be paired."""
        head, _ = self._built()
        if not head.timed:
            return
        tokens, time = self._tokens(), torch.tensor([0.25, 0.5, 0.75])
        first = head.prepare(tokens, random=_random(), time=time)
        kept = first.time is not None and torch.equal(first.time, time)
        expect(kept, f"asked for time {time.tolist()}, got {first.time}.")
        if first.noise is None:
            return
        second = head.prepare(tokens, random=_random(seed=1), time=time, noise=first.noise)
        same = equal(second.noise, first.noise) and equal(second.inputs, first.inputs)
        expect(same, "with time and noise given the inputs still change with the streams; use what is given.")

    def check_loss(self) -> None:
        """The loss is a finite sum, the count of scored tokens, and both add up over spans."""
        head, condition = self._built()
        hidden = self._hidden()
        prepared = head.prepare(self._tokens(), random=_random())
        with torch.no_grad():
            total, count = head.loss(hidden, prepared, condition)
            parts = [
                head.loss(hidden[k], _rows(prepared, k), None if condition is None else condition[k])
                for k in (slice(0, 1), slice(1, SPANS))
            ]
        finite = total.dim() == 0 and bool(total.isfinite())
        expect(finite, f"the summed loss is {total}; expected one finite number.")
        scored = int(prepared.score_mask.sum())
        expect(int(count) == scored, f"the count is {int(count)}, but score_mask holds {scored}.")
        added, counted = sum(float(part) for part, _ in parts), sum(int(n) for _, n in parts)
        same = close(torch.tensor(added), total) and counted == int(count)
        expect(
            same,
            f"two parts of a batch give {added} over {counted}, the batch {float(total)} over {int(count)}; "
            "return a sum, not a mean.",
        )

    def check_gradient(self) -> None:
        """Gradients reach the hidden states and every parameter of the head."""
        head, condition = self._built()
        hidden = self._hidden().requires_grad_()
        prepared = head.prepare(self._tokens(), random=_random())
        read = hidden + head.embed(prepared.inputs, self._usual()) if head.embeds else hidden
        head.loss(read, prepared, condition)[0].backward()
        reached = hidden.grad is not None and bool(hidden.grad.any())
        expect(reached, "no gradient reaches the hidden states.")
        trained = [(name, p.grad) for name, p in head.named_parameters() if p.requires_grad]
        idle = [name for name, grad in trained if grad is None or not grad.any()]
        expect(not idle, f"no gradient reaches {', '.join(idle)}; freeze or remove what is not used.")

    def check_unscored(self) -> None:
        """Positions where score_mask is False change neither loss nor gradient."""
        head, condition = self._built()
        prepared = head.prepare(self._tokens(), random=_random())
        prepared.score_mask = prepared.score_mask.clone()
        prepared.score_mask[:, -1] = False
        if head.apart:  # its hidden states are of the prompt, and each is read for every token
            with torch.no_grad():
                before, _ = head.loss(self._hidden(), prepared, condition)
                prepared.targets = prepared.targets.clone()
                prepared.targets[:, -1] += 5
                after, _ = head.loss(self._hidden(), prepared, condition)
            expect(close(before, after, 1e-6), "a target that is not scored changed the loss.")
            return
        hidden = self._hidden().requires_grad_()
        before, count = head.loss(hidden, prepared, condition)
        before.backward()
        assert hidden.grad is not None
        expect(not hidden.grad[:, -1].any(), "a gradient reaches a hidden state that is not scored.")
        changed = hidden.detach().clone()
        changed[:, -1] += 5
        after = head.loss(changed, prepared, condition)[0].detach()
        same = close(before.detach(), after, 1e-6)
        expect(same, f"a hidden state that is not scored changed the loss from {before} to {after}.")
        scored = int(prepared.score_mask.sum())
        expect(int(count) == scored, f"the count is {int(count)}, but score_mask holds {scored}.")

    def check_sample(self) -> None:
        """Sampling yields tokens of the shape asked for, the same from the same streams."""
        head, _ = self._built()
        engine, shape = self._engine(head), self._shape(SPANS)
        with no_global_randomness("sample"):
            drawn = list(head.sample(engine, shape, num_steps=STEPS, random=_random()))
        expect(0 < len(drawn) <= STEPS, f"{STEPS} steps yielded {len(drawn)} results; expected 1 to {STEPS}.")
        last = drawn[-1]
        wanted = (SPANS, STEPS, *shape[1:]) if head.shift else shape
        expect(tuple(last.shape) == wanted, f"sampling gave {tuple(last.shape)}; expected {wanted}.")
        if head.discrete:
            size = _vocabulary().size
            inside = last.dtype == torch.int64 and int(last.min()) >= 0 and int(last.max()) < size
            expect(inside, f"sampling gave {last}; expected int64 ids below {size}.")
        else:
            expect(last.isfinite().all(), "sampling gave numbers that are not finite.")
        again = list(head.sample(engine, shape, num_steps=STEPS, random=_random()))[-1]
        expect(equal(last, again), "the same streams gave another sample; draw from `random` only.")
        streams = _random().select([1])
        alone = list(head.sample(engine, self._shape(1), num_steps=STEPS, random=streams))[-1]
        same = equal(last[1:2], alone) if head.discrete else close(last[1:2], alone)
        expect(same, "span 1 sampled alone differs from span 1 in a batch; draw one row per stream.")

    def check_guide(self) -> None:
        """Guidance between equal predictions changes no sample."""
        head, _ = self._built()
        engine, shape = self._engine(head), self._shape(SPANS)

        def guided(inputs: Tensor, time: Tensor | None) -> Tensor:
            return head.guide(engine(inputs, time), engine(inputs, time), 3.0)

        plain = list(head.sample(engine, shape, num_steps=STEPS, random=_random()))[-1]
        found = list(head.sample(guided, shape, num_steps=STEPS, random=_random()))[-1]
        same = equal(plain, found) if head.discrete else close(plain, found, 1e-4)
        expect(same, "guidance between equal predictions changes the sample; return null + scale (given - null).")

    def check_apart(self) -> None:
        """A network of its own follows inputs, time and what it hears, and padding of the prompt changes nothing."""
        head, _ = self._built()
        if not head.apart:
            return
        expect(head.reads in ("prompt", "queries"), f"`reads` is {head.reads!r}; expected 'prompt' or 'queries'.")
        tokens, time, hidden = self._tokens(), torch.tensor([0.2, 0.5, 0.8]), self._hidden()
        with torch.no_grad():
            found = head.denoise(tokens, time, head.predict(hidden))
            wanted = tuple(tokens.shape)
            expect(found.shape == wanted, f"`denoise` gives {tuple(found.shape)}; expected {wanted}.")
            padded = torch.cat((hidden, torch.zeros_like(hidden)), dim=1)
            same = close(head.denoise(tokens, time, head.predict(padded)), found, 1e-4)
            others = {
                "inputs": head.denoise(tokens + 1, time, head.predict(hidden)),
                "time": head.denoise(tokens, 1 - time, head.predict(hidden)),
                "hidden states": head.denoise(tokens, time, head.predict(hidden.flip(0))),
            }
        expect(same, "hidden states whose last number is 0 change the prediction; leave padding out.")
        for name, other in others.items():
            expect(not close(other, found, 1e-6), f"other {name} give the same prediction; read them.")

    # -- how ------------------------------------------------------------------------------------------------

    def _tokenizer(self) -> Any:
        """Return the plainest tokenizer that the head takes."""
        if not self.cls.discrete:  # type: ignore[attr-defined]
            return Vectors()
        try:
            self.make().build(Codes(), _vocabulary(), DIM, CONDITION_DIM)
        except UsageError:
            return ScaleCodes()
        return Codes()

    def _usual(self) -> Callable[[Tensor], Tensor]:
        """Return how tokens are embedded by others than the head: a table, or a linear map."""
        width = _vocabulary().size if self.cls.discrete else Vectors().token_dim  # type: ignore[attr-defined]
        table = torch.randn(width, DIM, generator=torch.Generator().manual_seed(5))
        return (lambda ids: table[ids]) if self.cls.discrete else (lambda x: x @ table)  # type: ignore[attr-defined]

    def _built(self) -> tuple[Head, Tensor | None]:
        head, vocabulary = self.make(), _vocabulary()
        head.tokenizer_name = "stand_in"
        head.build(self._tokenizer(), vocabulary, DIM, CONDITION_DIM)
        stir(vocabulary)
        stir(head)
        condition = torch.randn(SPANS, CONDITION_DIM, generator=torch.Generator().manual_seed(1))
        return head.eval(), condition if head.timed else None

    def _tokens(self) -> Tensor:
        tokenizer, generator = self._tokenizer(), torch.Generator().manual_seed(2)
        if not tokenizer.discrete:
            return torch.randn(SPANS, tokenizer.num_tokens, tokenizer.token_dim, generator=generator)
        codes = torch.randint(0, tokenizer.codebook_size, (SPANS, tokenizer.num_tokens), generator=generator)
        return _vocabulary().ids("stand_in", codes)

    def _hidden(self) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        hidden = torch.randn(SPANS, self._tokenizer().num_tokens, DIM, generator=generator)
        apart: bool = self.cls.apart  # type: ignore[attr-defined]
        return torch.cat((hidden, torch.ones(*hidden.shape[:2], 1)), dim=-1) if apart else hidden

    def _shape(self, rows: int) -> tuple[int, ...]:
        shape = self._tokens().shape
        return (rows, *shape[2:]) if self.make().shift else (rows, *shape[1:])

    def _engine(self, head: Head) -> Callable[[Tensor, Tensor | None], Tensor]:
        """Return a stand-in of the engine's `run`: a fixed smooth function of inputs and time."""
        tokenizer = self._tokenizer()
        width = DIM if head.embeds else _vocabulary().size if tokenizer.discrete else tokenizer.token_dim
        table, usual = torch.randn(width, width, generator=torch.Generator().manual_seed(4)) / width**0.5, self._usual()

        @torch.no_grad()
        def run(inputs: Tensor, time: Tensor | None) -> Tensor:
            if head.embeds:
                return head.predict(torch.tanh(head.embed(inputs, usual) @ table))
            if head.shift and not inputs.numel():
                return table[:1].expand(len(inputs), -1)
            read = inputs[:, -1] if head.shift else inputs
            if head.discrete:
                return table[read]
            return torch.tanh(read @ table) + (0 if time is None else time[:, None, None])

        return run


def _vocabulary() -> Vocabulary:
    return Vocabulary({"stand_in": Codes().codebook_size}, DIM)


def _random(seed: int = 0) -> SampleRandom:
    return SampleRandom(seed, range(SPANS))


def _rows(prepared: Prepared, rows: slice) -> Prepared:
    given = vars(prepared).items()
    fields: dict[str, Any] = {name: None if value is None else value[rows] for name, value in given}
    return Prepared(**fields)


SUITE = HeadSuite
