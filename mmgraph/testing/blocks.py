"""The suite of blocks: who sees whom, what time touches, and a cache that changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmgraph.blocks import Block
from mmgraph.cache import Cache
from mmgraph.configured import config_of
from mmgraph.sequence import MultimodalSequence, Piece, lay_out
from mmgraph.testing.stand_ins import CONDITION_DIM, DIM
from mmgraph.testing.suite import Suite, close, expect, no_global_randomness, stir

TEXT, TAIL = Piece(5), Piece(3)
IMAGE = Piece(4, "image", "target", 0, "full", timed=True)
NOISED = Piece(4, "image", "target", 1, "full", visible="own", timed=True)
SAMPLE = (TEXT, IMAGE, TAIL)  # positions 0 to 4, 5 to 8, 9 to 11
SHORT = (Piece(3), IMAGE, Piece(2))


class BlockSuite(Suite):
    """What `mmgraph.blocks.Block` promises.

    Influence is tested by changing one position a lot and looking where the output moves by more than
    rounding. Every parameter is stirred first, since gates that start at zero would hide mistakes.
    """

    contract = Block

    def check_shape(self) -> None:
        """Keeps the shape, and gives auxiliary losses as finite scalars by name."""
        block = self._built()
        for rows in ([SAMPLE, SHORT], [(TEXT,), (TEXT,)]):
            sequence = _sequence(rows)
            result = block(sequence.embeddings, sequence)
            expect(
                isinstance(result, tuple) and len(result) == 2,
                f"`forward` gave a {type(result).__name__}; expected two results, the hidden states and a dict "
                "of auxiliary losses ({} if there are none).",
            )
            hidden, losses = result
            expect(
                hidden.shape == sequence.embeddings.shape,
                f"{tuple(sequence.embeddings.shape)} became {tuple(hidden.shape)}; a block keeps the shape.",
            )
            expect(hidden.isfinite().all(), "some outputs are not finite.")
            expect(
                isinstance(losses, dict),
                f"the second result is a {type(losses).__name__}; expected a dict of losses.",
            )
            for name, loss in losses.items():
                expect(
                    loss.dim() == 0 and bool(loss.isfinite()),
                    f"the auxiliary loss '{name}' is {loss}; expected one finite number.",
                )

    def check_causality(self) -> None:
        """A later position never changes an earlier one, and an earlier one reaches a later one."""
        moved = self._influence([SAMPLE], place=10)
        expect(
            not moved[0, :10].any(),
            f"changing position 10 moved {_places(moved[0, :10])}; use the sequence's mask.",
        )
        expect(moved[0, 10], "changing a position does not change its own output.")
        moved = self._influence([SAMPLE], place=1)
        expect(
            moved[0, 4] and moved[0, 11],
            "changing position 1 does not reach positions 4 and 11, which may see it.",
        )

    def check_full_attention(self) -> None:
        """Positions of a span with one order see each other; the text before it does not see them."""
        moved = self._influence([SAMPLE], place=8)
        expect(
            moved[0, 5:9].all(),
            "the last token of an image does not reach all its tokens; use the sequence's mask.",
        )
        expect(not moved[0, :5].any(), f"an image moved {_places(moved[0, :5])} before it.")

    def check_visibility(self) -> None:
        """What only its own span may see reaches nothing else."""
        moved = self._influence([(TEXT, NOISED, TAIL)], place=6)
        expect(moved[0, 5:9].all(), "a span that is visible to its own does not see itself.")
        expect(not moved[0, 9:].any(), f"a span that only its own may see moved {_places(moved[0], 9)}.")

    def check_rows(self) -> None:
        """Padding, other rows and other samples of a packed row have no influence."""
        moved = self._influence([SAMPLE, SHORT], place=11, row=1)  # padding of the shorter row
        moved[1, 9:] = False
        expect(not moved.any(), "changing a padded position moved real ones; use the sequence's mask.")
        moved = self._influence([SAMPLE, SHORT], place=2, row=1)
        expect(not moved[0].any(), "changing one row moved another; keep rows apart.")
        block = self._built()
        packed = _sequence([SAMPLE, SHORT], packed=True)
        apart = _sequence([SAMPLE, SHORT])
        together = block(packed.embeddings, packed)[0][0]
        separate = block(apart.embeddings, apart)[0]
        expect(
            close(together[:12], separate[0, :12]) and close(together[12:21], separate[1, :9]),
            "two samples packed in one row differ from the same in two rows; read all from the layout.",
        )

    def check_time(self) -> None:
        """Time changes its own span and what may see it, nothing else."""
        moved = self._influence([(TEXT, IMAGE, TAIL, IMAGE, TAIL), SAMPLE], time=1)
        expect(
            moved[0, 12:16].all(), "the time of a span does not change it; modulate by `sequence.condition`."
        )
        expect(not moved[0, :12].any(), f"the time of a span moved {_places(moved[0, :12])} before it.")
        expect(not moved[1].any(), "the time of one row's span moved another row.")

    def check_untimed(self) -> None:
        """Works where no span is timed, and where the model has no time at all."""
        for block in (self._built(), self._built(condition_dim=0)):
            sequence = _sequence([(TEXT,), (TAIL,)])
            hidden, _ = block(sequence.embeddings, sequence)
            expect(hidden.isfinite().all(), "some outputs are not finite without timed spans.")

    def check_cache(self) -> None:
        """Reading piece by piece over a cache gives what reading at once gives."""
        block = self._built()
        rows = [SAMPLE, SHORT, SAMPLE]
        whole = _sequence(rows)
        expected = block(whole.embeddings, whole)[0]
        cache = Cache(1, len(rows), 16)
        starts = [0] * len(rows)
        for part in range(3):
            layout, _ = lay_out([[(row[part],)] for row in rows])
            lengths = [row[part].length for row in rows]
            for attempt in range(2):  # what is not committed leaves no trace
                hidden = torch.zeros(len(rows), layout.shape[1], DIM)
                for r, (start, n) in enumerate(zip(starts, lengths, strict=True)):
                    hidden[r, :n] = whole.embeddings[r, start : start + n] + (1 - attempt)
                staged, keys = cache.stage(layout)
                condition = whole.condition if part == 1 else None
                sequence = MultimodalSequence(hidden, staged, condition=condition, keys=keys)
                found, _ = block(hidden, sequence, cache.layers[0])
            cache.commit()
            for r, (start, n) in enumerate(zip(starts, lengths, strict=True)):
                expect(
                    close(found[r, :n], expected[r, start : start + n]),
                    f"row {r}, positions {start} to {start + n - 1} differ with a cache; "
                    "attend to what `cache.extend` gives, under the sequence's mask.",
                )
            starts = [start + n for start, n in zip(starts, lengths, strict=True)]

    def check_memory(self) -> None:
        """A block that reads memory is moved by what a position sees of it, and by nothing else."""
        block = self._built()
        if not type(block).reads_memory:
            return
        whole, moved = _sequence([SAMPLE, SHORT]), _sequence([SAMPLE, SHORT])
        for sequence, factor in ((whole, 1.0), (moved, -1.0)):
            tokens = torch.linspace(-1, 1, 2 * 2 * DIM).view(2, 2, DIM).clone()
            tokens[0, 1] *= factor
            visible = torch.ones(2, 12, 2, dtype=torch.bool)
            visible[:, :9, 1] = False  # the second token is seen from position 9 on
            visible[:, :2] = False
            sequence.memory = {"image": (tokens, visible)}
        with torch.no_grad():
            before, after = (block(sequence.embeddings, sequence)[0] for sequence in (whole, moved))
        differs = (before - after).abs().amax(-1) > 1e-5 * before.abs().max()
        expect(before.isfinite().all(), "positions that see nothing of the memory are not finite.")
        expect(differs[0, 9:].all(), "changing a memory token does not reach the positions that see it.")
        expect(not differs[0, :9].any(), f"memory moved {_places(differs[0, :9])}, which may not see it.")
        expect(not differs[1].any(), "one row's memory moved another row.")

    def check_spawn(self) -> None:
        """Spawning gives an unbuilt block with the same options, and weights of its own."""
        prototype = self.make()
        first, second = prototype.spawn(), prototype.spawn()
        for block in (first, second):
            expect(type(block) is type(prototype), f"`spawn` gave a {type(block).__name__}.")
            expect(config_of(block) == config_of(prototype), "`spawn` changed the options.")
            block.build(DIM, CONDITION_DIM)
        expect(not list(prototype.parameters()), "building a spawned block gave the prototype parameters.")
        mine, theirs = dict(first.named_parameters()), dict(second.named_parameters())
        expect(mine, "a built block has no parameters.")
        shared = {p.data_ptr() for p in mine.values()} & {p.data_ptr() for p in theirs.values()}
        expect(not shared, "two spawned blocks share weights; create them in `build`.")
        drawn = [name for name, value in mine.items() if value.dim() > 1 and bool(value.any())]
        same = [name for name in drawn if torch.equal(mine[name], theirs[name])]
        expect(not same, f"two spawned blocks start with equal {', '.join(same)}; draw each anew.")

    def check_gradient(self) -> None:
        """Gradients reach the input, the time and every parameter."""
        block = self._built()
        sequence = _sequence([SAMPLE, SHORT])
        if type(block).reads_memory:
            sequence.memory = {"image": (torch.randn(2, 3, DIM), None)}
        inputs, condition = sequence.embeddings.requires_grad_(), sequence.condition
        assert condition is not None
        condition.requires_grad_()
        hidden, losses = block(inputs, sequence)
        (hidden * torch.randn_like(hidden)).sum().add(sum(losses.values())).backward()
        for what, tensor in (("the input", inputs), ("the time", condition)):
            expect(tensor.grad is not None and bool(tensor.grad.any()), f"no gradient reaches {what}.")
        idle = [
            name
            for name, p in block.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.any())
        ]
        expect(not idle, f"no gradient reaches {', '.join(idle)}; freeze or remove what is not used.")

    def check_evaluation(self) -> None:
        """In evaluation mode the output is a function of the input: no dropout, no random state."""
        block = self._built()
        sequence = _sequence([SAMPLE, SHORT])
        with no_global_randomness("a block in evaluation mode"):
            first = block(sequence.embeddings, sequence)[0]
        expect(
            torch.equal(first, block(sequence.embeddings, sequence)[0]), "two runs on the same input differ."
        )

    # -- how ------------------------------------------------------------------------------------------------

    def _built(self, condition_dim: int = CONDITION_DIM) -> Block:
        block = self.make()
        block.build(DIM, condition_dim)
        stir(block)
        return block.eval()

    def _influence(
        self,
        rows: Sequence[tuple[Piece, ...]],
        *,
        place: int | None = None,
        row: int = 0,
        time: int | None = None,
    ) -> Tensor:
        """Return which outputs `(B, L)` move when one position, or one span's time, changes."""
        block = self._built()
        first, second = _sequence(rows), _sequence(rows)
        if place is not None:
            second.embeddings[row, place] = 3 * torch.randn(DIM)
        if time is not None and second.condition is not None:
            second.condition[time] = 3 * torch.randn(CONDITION_DIM)
        with torch.no_grad():
            before, after = (block(sequence.embeddings, sequence)[0] for sequence in (first, second))
        return (before - after).abs().amax(-1) > 1e-5 * before.abs().max()


def _sequence(rows: Sequence[tuple[Piece, ...]], *, packed: bool = False) -> MultimodalSequence:
    """Return a sequence whose embeddings and times depend on the sample, not on the row it lies in."""
    layout, starts = lay_out([list(rows)] if packed else [[row] for row in rows])
    generator = torch.Generator().manual_seed(0)
    hidden = torch.zeros(*layout.shape, DIM)
    for number, pieces in enumerate(rows):
        n = sum(piece.length for piece in pieces)
        own = torch.randn(n, DIM, generator=generator)
        begin = starts[0][number][0] if packed else 0
        hidden[0 if packed else number, begin : begin + n] = own
    spans = int(layout.timed.max()) + 1
    condition = torch.randn(spans, CONDITION_DIM, generator=generator) if spans else None
    return MultimodalSequence(hidden, layout, condition=condition)


def _places(moved: Tensor, first: int = 0) -> str:
    found = [int(place) for place in moved.nonzero().flatten() if place >= first]
    return f"positions {', '.join(map(str, found))}"


SUITE = BlockSuite
