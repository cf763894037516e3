from __future__ import annotations

import pytest
import torch

from mmgraph.cache import Cache
from mmgraph.sequence import Layout, Piece, lay_out

IMAGE = Piece(4, "image", "target", 0, "full", timed=True)
ROWS = ((Piece(5), IMAGE, Piece(3)), (Piece(2), IMAGE, Piece(1)), (Piece(5), IMAGE, Piece(2)))


def stage(cache: Cache, part: int) -> tuple[Layout, Layout]:
    return cache.stage(lay_out([[(row[part],)] for row in ROWS])[0])


def payload(layout: Layout, value: float) -> torch.Tensor:
    """Keys `(B, H, L, K)` that say where they were staged."""
    return (value + layout.order[:, None, :, None]).float().expand(-1, 2, -1, 3)


class TestStage:
    def test_continues_the_layout(self):
        cache = Cache(1, len(ROWS), 16)
        whole, _ = lay_out([[row] for row in ROWS])
        starts = [0] * len(ROWS)
        for part in range(3):
            staged, _ = stage(cache, part)
            for r, row in enumerate(ROWS):
                n = row[part].length
                for name in ("modality", "role", "span", "position", "order", "sample", "own"):
                    expected = getattr(whole, name)[r, starts[r] : starts[r] + n]
                    assert torch.equal(getattr(staged, name)[r, :n], expected), (part, r, name)
                starts[r] += n
            cache.commit()
            assert cache.lengths.tolist() == starts

    def test_masks_are_rows_of_the_whole_mask(self):
        cache = Cache(1, len(ROWS), 16)
        whole, _ = lay_out([[row] for row in ROWS])
        starts = torch.zeros(len(ROWS), dtype=torch.long)
        for part in range(3):
            staged, keys = stage(cache, part)
            mask = staged.mask(keys)
            for r, row in enumerate(ROWS):
                n, start = row[part].length, int(starts[r])
                stop = start + n
                assert torch.equal(mask[r, 0, :n, :stop], whole.mask()[r, 0, start:stop, :stop])
                assert not mask[r, 0, :n, stop:].any()
                starts[r] += n
            cache.commit()

    @pytest.mark.parametrize("rows", [ROWS, (ROWS[0], ROWS[2])])
    def test_what_was_not_committed_leaves_no_trace(self, rows):
        # a long span that is tried and dropped, then a short one: the long one's tail must not be seen
        cache = Cache(1, len(rows), 16)
        cache.stage(lay_out([[(row[0],)] for row in rows])[0])
        cache.commit()
        cache.stage(lay_out([[(IMAGE,)] for _ in rows])[0])
        staged, keys = cache.stage(lay_out([[(Piece(1),)] for _ in rows])[0])
        seen = staged.mask(keys)[:, 0, 0].sum(-1)
        assert seen.tolist() == [row[0].length + 1 for row in rows]

    def test_full(self):
        cache = Cache(1, 1, 6)
        cache.stage(lay_out([[(Piece(4),)]])[0])
        cache.commit()
        with pytest.raises(ValueError, match="holds 6 positions a row, 7 are needed"):
            cache.stage(lay_out([[(Piece(3),)]])[0])


class TestExtend:
    @pytest.mark.parametrize("rows", [ROWS, (ROWS[0],) * 2])
    def test_keys_lie_in_reading_order(self, rows):
        cache = Cache(1, len(rows), 16)
        for part in range(3):
            staged, _ = cache.stage(lay_out([[(row[part],)] for row in rows])[0])
            for attempt in (100, 0):  # what is staged twice is overwritten
                new = payload(staged, attempt)
                keys, values = cache.layers[0].extend(new, new + 0.5)
            cache.commit()
        whole, _ = lay_out([[row] for row in rows])
        for r in range(len(rows)):
            n = int(cache.lengths[r])
            assert torch.equal(keys[r, :, :n], payload(whole, 0)[r, :, :n])
            assert torch.equal(values[r, :, :n], payload(whole, 0.5)[r, :, :n])


class TestTruncate:
    def test_reading_goes_on_as_if_the_rest_had_not_been_read(self):
        cache, other = Cache(1, len(ROWS), 20), Cache(1, len(ROWS), 20)
        for part in range(2):
            stage(cache, part)
            cache.commit()
        stage(other, 0)
        other.commit()
        cache.truncate(other.lengths)
        assert torch.equal(cache.lengths, other.lengths)
        for again in ((Piece(2, "image", order="full"),), (Piece(3),)):
            (staged, keys), (expected, expected_keys) = (
                c.stage(lay_out([[again] for _ in ROWS])[0]) for c in (cache, other)
            )
            for name in Layout.FIELDS:
                assert torch.equal(getattr(staged, name), getattr(expected, name)), name
            assert torch.equal(staged.mask(keys), expected.mask(expected_keys))
            cache.commit()
            other.commit()

    def test_never_lengthens(self):
        cache = Cache(1, len(ROWS), 16)
        stage(cache, 0)
        cache.commit()
        cache.truncate(torch.tensor([3, 9, 0]))
        assert cache.lengths.tolist() == [3, 2, 0]
