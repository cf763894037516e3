from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from mmgraph.sequence import MODALITIES, Layout, MultimodalSequence, Piece, lay_out, pack


def random_pieces(rng: random.Random) -> tuple[Piece, ...]:
    pieces = []
    for number in range(rng.randint(1, 5)):
        n = rng.randint(1, 5)
        order = rng.choice(["causal", "full", "scales", "shuffled"])
        if order == "scales":
            order = tuple(sorted(rng.randint(0, 2) for _ in range(n)))
        elif order == "shuffled":
            order = tuple(rng.sample(range(n), n))
        pieces.append(
            Piece(
                n,
                rng.choice(MODALITIES),
                rng.choice(["context", "target"]),
                number,
                order,
                rng.choice(["all", "all", "own"]),
                rng.random() < 0.3,
            )
        )
    return tuple(pieces)


def written_rule(row: list[tuple[Piece, ...]], width: int) -> torch.Tensor:
    """Who may attend to whom, by a double loop over what the documentation says."""
    positions: list[tuple[int, int, int, str]] = []  # sample, piece, order, visible
    for s, pieces in enumerate(row):
        clock = 0
        for p, piece in enumerate(pieces):
            relative = {"causal": list(range(piece.length)), "full": [0] * piece.length}.get(
                piece.order, piece.order
            )
            positions += [(s, p, clock + step, piece.visible) for step in relative]
            clock += max(relative) + 1
    mask = torch.zeros(width, width, dtype=torch.bool)
    for i, (sample, piece, order, _) in enumerate(positions):
        for j, (other_sample, other_piece, other_order, visible) in enumerate(positions):
            seen = sample == other_sample and other_order <= order
            mask[i, j] = seen and (visible == "all" or piece == other_piece)
    return mask


class TestMask:
    @pytest.mark.parametrize("seed", range(40))
    def test_equals_the_written_rule(self, seed):
        rng = random.Random(seed)
        rows = [[random_pieces(rng) for _ in range(rng.randint(1, 3))] for _ in range(rng.randint(1, 4))]
        if seed % 4 == 0:
            rows = [rows[0]] * 3  # equal rows take the short way
        layout, _ = lay_out(rows)
        mask = layout.mask().expand(len(rows), 1, -1, -1)
        assert layout.shared == all(row == rows[0] for row in rows)
        for r, row in enumerate(rows):
            n = int(layout.valid[r].sum())
            expected = written_rule(row, layout.shape[1])
            assert torch.equal(mask[r, 0, :n], expected[:n])

    @pytest.mark.parametrize("seed", range(40))
    def test_every_position_sees_something(self, seed):
        # a row of the mask without a True makes softmax give NaN
        rng = random.Random(seed)
        layout, _ = lay_out([[random_pieces(rng)] for _ in range(3)])
        assert layout.mask().any(-1).all()

    @pytest.mark.parametrize("seed", range(40))
    def test_plain_causal_attention_only_where_it_says_the_same(self, seed):
        rng = random.Random(seed)
        kinds = [rng.choice(["causal", "full"]) for _ in range(3)]
        rows = [[(Piece(rng.randint(1, 6)), Piece(2, "image", order=kind))] for kind in kinds]
        layout, _ = lay_out(rows)
        sequence = MultimodalSequence(torch.zeros(*layout.shape, 4), layout)
        triangle = torch.ones(layout.shape[1], layout.shape[1], dtype=torch.bool).tril()
        mask = layout.mask().expand(3, -1, -1, -1)
        same = all(torch.equal(mask[r, 0][layout.valid[r]], triangle[layout.valid[r]]) for r in range(3))
        assert (sequence.mask is None) == same

    def test_next_scale(self):
        scales = Piece(1 + 4 + 9, "image", "target", 0, (0,) + (1,) * 4 + (2,) * 9)
        layout, _ = lay_out([[(Piece(2), scales, Piece(1))]])
        mask = layout.mask()[0, 0]
        assert mask[3, 2:7].tolist() == [True] * 5  # a scale sees coarser scales and itself
        assert not mask[3, 7:].any()
        assert mask[7, 2:16].all()
        assert mask[16].all()


class TestLayOut:
    def test_fields(self):
        image = Piece(3, "image", "target", 0, "full", timed=True)
        layout, starts = lay_out([[(Piece(2), image, Piece(2, role="target"))], [(Piece(1), image)]])
        assert starts == [[(0, 2, 5)], [(0, 1)]]
        assert layout.position.tolist() == [[0, 1, 0, 1, 2, 2, 3], [0, 0, 1, 2, 0, 0, 0]]
        assert layout.order.tolist() == [[0, 1, 2, 2, 2, 3, 4], [0, 1, 1, 1, 0, 0, 0]]
        assert layout.span.tolist() == [[0, 0, 1, 1, 1, 2, 2], [0, 1, 1, 1, -1, -1, -1]]
        assert layout.sample.tolist() == [[0] * 7, [0] * 4 + [-1] * 3]
        assert layout.modality.tolist() == [[0, 0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0]]
        assert layout.role.tolist() == [[0, 0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 0]]
        assert layout.timed.tolist() == [[-1, -1, 0, 0, 0, -1, -1], [-1, 1, 1, 1, -1, -1, -1]]
        assert layout.timed_slice is None

    def test_a_packed_sample_is_laid_out_as_if_alone(self):
        rng = random.Random(0)
        samples = [random_pieces(rng) for _ in range(4)]
        packed, starts = lay_out([samples])
        timed = 0
        for s, pieces in enumerate(samples):
            alone, own = lay_out([[pieces]])
            begin = starts[0][s][0]
            here = slice(begin, begin + alone.shape[1])
            assert starts[0][s] == tuple(begin + start for start in own[0][0])
            assert (packed.sample[0, here] == s).all()
            for name in ("modality", "role", "position", "order", "own"):
                assert torch.equal(getattr(packed, name)[0, here], getattr(alone, name)[0])
            rows = alone.timed[0]
            assert torch.equal(packed.timed[0, here], torch.where(rows >= 0, rows + timed, rows))
            timed += int(rows.max()) + 1
        assert packed.span[0].tolist() == sorted(packed.span[0].tolist())

    def test_one_timed_span_at_one_place_is_a_slice(self):
        image = Piece(3, "image", "target", 0, "full", timed=True)
        layout, _ = lay_out([[(Piece(2), image, Piece(n))] for n in (1, 4)])
        assert layout.timed_slice == (2, 5)
        assert not layout.shared
        layout, _ = lay_out([[(Piece(2), image, image)]])
        assert layout.timed_slice is None

    def test_prefix_is_static_unless_it_sees_the_span_or_its_time(self):
        image = Piece(4, "image", "target", 0, "full", timed=True)
        layout, _ = lay_out([[(Piece(3), image)], [(Piece(1), image)]])
        assert layout.prefix_static(1)
        together = replace(layout, order=torch.zeros_like(layout.order))
        assert not together.prefix_static(1)
        one_time = replace(layout, timed=layout.timed.clamp_min(0))
        assert not one_time.prefix_static(1)


class TestPack:
    @pytest.mark.parametrize("seed", range(10))
    def test_every_sample_once_and_no_row_too_long(self, seed):
        rng = random.Random(seed)
        lengths = [rng.randint(1, 20) for _ in range(30)]
        rows = pack(lengths, 24)
        assert sorted(index for row in rows for index in row) == list(range(30))
        assert all(sum(lengths[index] for index in row) <= 24 for row in rows)
        assert len(rows) <= -(-11 * sum(lengths) // (9 * 24)) + 1  # first fit decreasing: 11/9 of the optimum

    def test_too_long(self):
        with pytest.raises(ValueError, match="sample 1 has 9 positions but a row holds 8"):
            pack([3, 9], 8)


class TestModulate:
    def test_slice_and_scatter_agree(self):
        image = Piece(3, "image", "target", 0, "full", timed=True)
        layout, _ = lay_out([[(Piece(2), image, Piece(n))] for n in (1, 4, 2)])
        hidden = torch.randn(*layout.shape, 8)
        shift, scale, gate = torch.randn(3, 3, 8).unbind()
        fast = MultimodalSequence(hidden, layout)
        slow = MultimodalSequence(hidden, Layout(**{name: getattr(layout, name) for name in Layout.FIELDS}))
        assert fast.layout.timed_slice is not None
        assert slow.layout.timed_slice is None
        assert torch.equal(fast.modulate(hidden, shift, scale), slow.modulate(hidden, shift, scale))
        assert torch.equal(fast.gate(hidden, gate), slow.gate(hidden, gate))
        for r in range(3):
            expected = hidden[r].clone()
            expected[2:5] = expected[2:5] * (1 + scale[r]) + shift[r]
            torch.testing.assert_close(fast.modulate(hidden, shift, scale)[r], expected)

    def test_a_row_that_is_all_image(self):
        layout, _ = lay_out([[(Piece(3, "image", order="full", timed=True),)]] * 2)
        hidden, table = torch.randn(2, 3, 4), torch.randn(2, 4)
        sequence = MultimodalSequence(hidden, layout)
        torch.testing.assert_close(sequence.gate(hidden, table), hidden * table[:, None])
