from __future__ import annotations

from typing import Any

import torch

from mmgraph import denoisers, heads
from mmgraph.testing.stand_ins import Vectors
from tests.testing.broken import broken

Flow, MAR, NextScale, NextToken = heads.flow, heads.mar, heads.next_scale, heads.next_token


class TestHeads:
    def head(self, base: type = Flow, **changes: Any) -> type:
        def __init__(self) -> None:  # noqa: N807
            base.__init__(self)

        return type("Odd", (base,), {"__doc__": "Odd.", "__init__": __init__, **changes})

    def test_a_mean_instead_of_a_sum(self):
        def loss(self, hidden, prepared, condition=None):
            total, count = Flow.loss(self, hidden, prepared, condition)
            return total / count, count

        broken("heads", self.head(loss=loss), "both add up over spans", "return a sum, not a mean")

    def test_scoring_what_is_not_to_be_scored(self):
        def loss(self, hidden, prepared, condition=None):
            everything = torch.ones_like(prepared.score_mask)
            prepared.score_mask, kept = everything, prepared.score_mask
            total, _ = Flow.loss(self, hidden, prepared, condition)
            prepared.score_mask = kept
            return total, kept.sum()

        broken("heads", self.head(loss=loss), "where score_mask is False", "not scored")

    def test_global_noise(self):
        def prepare(self, tokens, *, random, time=None, noise=None):
            return Flow.prepare(self, tokens, random=random, time=time, noise=torch.randn_like(tokens))

        broken("heads", self.head(prepare=prepare), "comes from the streams", "prepare draws from torch's")
        broken("heads", self.head(prepare=prepare), "Time and noise that are given", "use what is given")

    def test_one_draw_for_the_whole_batch(self):
        def prepare(self, tokens, *, random, time=None, noise=None):
            if time is None:
                time = random.uniform().mean().expand(len(tokens))
            return Flow.prepare(self, tokens, random=random, time=time, noise=noise)

        broken("heads", self.head(prepare=prepare), "whatever is in the batch", "depends on its batch")

    def test_time_outside_its_range(self):
        def prepare(self, tokens, *, random, time=None, noise=None):
            prepared = Flow.prepare(self, tokens, random=random, time=time, noise=noise)
            prepared.time = prepared.time * 1000
            return prepared

        broken("heads", self.head(prepare=prepare), "shapes of the contract", "0 = noise and 1 = data")

    def test_sampling_from_the_global_state(self):
        def sample(self, run, shape, *, num_steps, random, temperature=1.0):
            yield torch.randn(shape)

        broken("heads", self.head(sample=sample), "Sampling yields", "sample draws from torch's")

    def test_any_tokenizer(self):
        def build(self, tokenizer, vocabulary, dim, condition_dim):
            width = tokenizer.codebook_size if tokenizer.discrete else tokenizer.token_dim
            stand_in = type("StandIn", (Vectors,), {"token_dim": width})()
            Flow.build(self, stand_in, vocabulary, dim, condition_dim)

        broken("heads", self.head(build=build), "Refuses a tokenizer", "`build` accepts a tokenizer")

    def test_blocks_that_fall(self):
        falling = lambda self, n: tuple(range(n, 0, -1))  # noqa: E731
        broken("heads", self.head(span_order=falling), "The order on a span", "numbers from 0 on")
        broken("heads", self.head(NextToken, span_order=lambda self, n: (0,) * n), "The order on a span", "has shift 0")

    def test_places_that_are_none(self):
        twice = lambda self, n: torch.zeros(n, dtype=torch.long)  # noqa: E731
        broken("heads", self.head(places=twice), "Places are a permutation", "expected a permutation")

    def test_tokens_left_in_the_order_drawn(self):
        reversed_ = lambda self, n: torch.arange(n - 1, -1, -1)  # noqa: E731
        broken("heads", self.head(places=reversed_), "Places are a permutation", "leaves 3 tokens in another order")

    def test_an_embedding_that_forgets_where_it_is(self):
        def embed(self, inputs, usual, offset=0):
            return NextScale.embed(self, inputs, usual)

        broken("heads", self.head(NextScale, embed=embed), "a part is embedded as in the whole", "from offset 1")

    def test_an_embedding_of_another_width(self):
        def embed(self, inputs, usual, offset=0):
            return inputs

        broken("heads", self.head(MAR, embed=embed), "a part is embedded as in the whole", "`embed` gives (3, 4, 17)")

    def test_guidance_that_moves_what_agrees(self):
        guide = lambda self, given, null, scale: scale * given  # noqa: E731
        broken("heads", self.head(guide=guide), "Guidance between equal", "return null + scale (given - null)")

    def test_declarations(self):
        broken("heads", self.head(NextToken, shift=None), "Declares discrete", "`shift` is None")


class TestHeadsApart:
    """Those that draw with a network of their own."""

    def test_padding_that_is_heard(self):
        def predict(self, hidden, condition=None):
            everywhere = torch.cat((hidden[..., :-1], torch.ones_like(hidden[..., :1])), dim=-1)
            return heads.denoising.predict(self, everywhere)

        odd = type("Odd", (heads.denoising,), {"__doc__": "Odd.", "predict": predict})
        broken("heads", odd, "A network of its own", "leave padding out", lambda: odd(self.network(), Flow()))

    def test_a_time_that_is_not_read(self):
        def denoise(self, inputs, time, told):
            return heads.denoising.denoise(self, inputs, torch.ones_like(time), told)

        odd = type("Odd", (heads.denoising,), {"__doc__": "Odd.", "denoise": denoise})
        broken("heads", odd, "A network of its own", "other time give the same", lambda: odd(self.network(), Flow()))

    def network(self) -> Any:
        return denoisers.dit(16, 1, num_heads=2, patch_size=1)
