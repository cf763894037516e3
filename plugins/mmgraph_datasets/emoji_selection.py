"""Which emoji a data set keeps, and on which side of the division each falls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mmgraph.datasets import Protocol, Split
from mmgraph.errors import UsageError, nearest
from mmgraph_datasets.division import SPLITS, divide_pairs, fraction, split_of
from mmgraph_datasets.emoji_catalogue import GROUPS, Emoji
from mmgraph_datasets.emoji_relations import subgroups

WORLD = "emoji"
WITHOUT = ("Symbols", "Flags")
"""Groups left out unless asked for: their pictures are signs, not things."""


def select(
    catalogue: Sequence[Emoji],
    groups: list[str] | None,
    chosen: list[str] | None,
    *,
    skin_tones: bool,
    limit: int | None,
) -> list[Emoji]:
    """Return the emoji of some groups and subgroups that show a picture of their own.

    Args:
        catalogue: All that there is.
        groups: Groups to keep; None: all but `WITHOUT`, or those of `chosen`.
        chosen: Subgroups to keep; None: all.
        skin_tones: Whether pictures with skin tones are kept.
        limit: Largest number of pictures; whole concepts are kept, in an order by hash.

    Raises:
        UsageError: If a group or subgroup is unknown.
    """
    for group in groups or ():
        if group not in GROUPS:
            raise UsageError(f"unknown group of emoji '{group}'. {nearest(group, GROUPS)}")
    known = subgroups(catalogue)
    for subgroup in chosen or ():
        if subgroup not in known:
            raise UsageError(f"unknown subgroup of emoji '{subgroup}'. {nearest(subgroup, known)}")
    kept = [
        e
        for e in catalogue
        if not e.duplicate_of
        and (skin_tones or not e.tones)
        and (e.group in groups if groups is not None else chosen is not None or e.group not in WITHOUT)
        and (chosen is None or e.subgroup in chosen)
    ]
    if limit is None or len(kept) <= limit:
        return kept
    members = Counter(e.concept for e in kept)
    taken: set[str] = set()
    for concept in sorted(members, key=lambda c: fraction(WORLD, "limit", c)):
        if members[concept] <= limit:
            limit -= members[concept]
            taken.add(concept)
    return [e for e in kept if e.concept in taken]


def divide(catalogue: Sequence[Emoji], protocol: Protocol, skin_tones: bool) -> dict[Split, list[int]]:
    """Return the places of each split.

    Raises:
        UsageError: If nothing is left to train on or to test.
    """
    divided: dict[Split, list[int]] = {split: [] for split in SPLITS}
    if protocol == "compositional":
        places = _compose(catalogue, skin_tones)
    else:
        places = [split_of(WORLD, protocol, e.concept if protocol == "grouped" else e.emoji) for e in catalogue]
    for i, place in enumerate(places):
        if place is not None:
            divided[place].append(i)
    train, test = len(divided["train"]), len(divided["test"])
    if not train or not test:
        raise UsageError(
            f"protocol '{protocol}' leaves {train} pictures to train on and {test} to test, of the "
            f"{len(catalogue)} chosen. Choose more groups, a larger limit, or another protocol."
        )
    return divided


def _compose(catalogue: Sequence[Emoji], skin_tones: bool) -> list[Split | None]:
    """Return the split of each picture by its pair; None for a picture that shows a held-out pair besides.

    Pairs are (role, skin tone), or (role, gender) where no skin tones are shown.
    """

    def parts(e: Emoji) -> tuple[str, ...]:
        return tuple(dict.fromkeys(e.tones)) if skin_tones else (e.gender,) if e.gender else ()

    pairs = [(e.concept, part) for e in catalogue for part in parts(e)]
    split = divide_pairs(pairs, WORLD)
    seen = [{pair[side] for pair, place in split.items() if place == "train"} for side in (0, 1)]
    places: list[Split | None] = []
    for e in catalogue:
        held = {split[e.concept, part] for part in parts(e)} - {"train"}
        apart = e.concept in seen[0] and all(part in seen[1] for part in parts(e))
        if not held:
            places.append("train")
        else:
            places.append(next(iter(held)) if len(parts(e)) == 1 and apart else None)
    return places
