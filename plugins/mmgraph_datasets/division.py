"""How items are divided into splits: fixed, versioned, and the same on every machine.

A part's place is a hash of its own name, so adding or filtering items never moves the others. Python's
`hash` differs from process to process; SHA-256 does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

from mmgraph.datasets import Split

PROTOCOL_VERSION = 1
"""Raised whenever any division changes; results of different versions must not be compared."""

TEST_SHARE = 0.15
VAL_SHARE = 0.05
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def fraction(*key: Hashable) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    text = "|".join(str(part) for part in (PROTOCOL_VERSION, *key))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def split_of(*key: Hashable) -> Split:
    """Return the split of a key: about 15 % test, 5 % val."""
    place = fraction(*key)
    if place < TEST_SHARE:
        return "test"
    return "val" if place < TEST_SHARE + VAL_SHARE else "train"


def divide_pairs(pairs: Sequence[tuple[str, str]], world: str) -> dict[tuple[str, str], Split]:
    """Return the split of each pair, so that both parts of a held-out pair are seen apart in training.

    A pair is held out by its hash, unless it is the last that would keep one of its parts in training:
    for each left and each right value, the pair of largest hash always stays.

    Args:
        pairs: Left and right values, for example role and skin tone; repeats are allowed.
        world: Name of the world, part of the hash.
    """
    places = {pair: fraction(world, "pair", *pair) for pair in sorted(set(pairs))}
    keep: set[tuple[str, str]] = set()
    for side in (0, 1):
        last: dict[str, tuple[str, str]] = {}
        for pair, place in places.items():
            value = pair[side]
            if value not in last or place > places[last[value]]:
                last[value] = pair
        keep |= set(last.values())
    return {pair: "train" if pair in keep else split_of(world, "pair", *pair) for pair in places}


def hold_out_evenly(lefts: Sequence[str], rights: Sequence[str], world: str) -> dict[tuple[str, str], Split]:
    """Return the split of every pair of two short lists: 15 % test, 5 % val, spread evenly over the values.

    Args:
        lefts: For example colours.
        rights: For example shapes.
        world: Name of the world, part of the hash.

    Raises:
        ValueError: If a list has fewer than two values, so that nothing could be seen apart.
    """
    if min(len(lefts), len(rights)) < 2:
        raise ValueError(f"pairs of {len(lefts)} and {len(rights)} values cannot be seen apart; both need two.")
    pairs = [(left, right) for left in lefts for right in rights]
    wanted: list[Split] = ["test"] * max(1, round(TEST_SHARE * len(pairs)))
    wanted += ["val"] * max(1, round(VAL_SHARE * len(pairs)))
    used = dict.fromkeys((*lefts, *rights), 0)
    split: dict[tuple[str, str], Split] = dict.fromkeys(pairs, "train")
    for place in wanted:
        free = [pair for pair in pairs if split[pair] == "train"]
        pair = min(free, key=lambda p: (used[p[0]] + used[p[1]], fraction(world, "even", *p)))
        split[pair] = place
        used[pair[0]] += 1
        used[pair[1]] += 1
    return split
