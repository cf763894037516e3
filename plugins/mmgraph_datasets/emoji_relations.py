"""Typed relations between emoji: the graph that comes with the pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

from mmgraph_datasets.emoji_catalogue import GROUPS, Emoji
from mmgraph_datasets.emoji_words import JOINER, bare

HUB = 12
"""A keyword of more emoji than this (flag, face, nature) links everything and says nothing."""


def relations(catalogue: Sequence[Emoji]) -> dict[str, list[tuple[int, int]]]:
    """Return typed edges between places in `catalogue`.

    `skin_tone_of` (toned, base), `gender_sibling` (pair of one concept and tone), `made_of` (joined
    sequence, part), `shared_keyword` (pair that shares a keyword of 2 to 12 emoji, untoned only);
    `in_subgroup` and `in_group` end in a place of `subgroups(catalogue)` and of `GROUPS`.
    """
    places = {bare(e.emoji): i for i, e in enumerate(catalogue)}
    edges: dict[str, list[tuple[int, int]]] = {
        name: [] for name in ("skin_tone_of", "gender_sibling", "made_of", "shared_keyword", "in_subgroup", "in_group")
    }
    subgroup_places = {name: i for i, name in enumerate(subgroups(catalogue))}
    siblings: dict[tuple[str, tuple[str, ...], bool], list[int]] = defaultdict(list)
    users: dict[str, list[int]] = defaultdict(list)
    for i, e in enumerate(catalogue):
        key = bare(e.emoji)
        if e.base and bare(e.base) in places:
            edges["skin_tone_of"].append((i, places[bare(e.base)]))
        if e.gender:
            siblings[e.concept, e.tones, e.name.endswith("facing right")].append(i)
        if JOINER in key:
            parts = dict.fromkeys(part for part in key.split(JOINER) if part in places)
            edges["made_of"] += [(i, places[part]) for part in parts]
        if e.group in GROUPS:
            edges["in_group"].append((i, GROUPS.index(e.group)))
        if e.subgroup:
            edges["in_subgroup"].append((i, subgroup_places[e.subgroup]))
        if not e.tones:
            for word in e.keywords:
                users[word].append(i)
    for members in siblings.values():
        edges["gender_sibling"] += [
            pair for pair in combinations(members, 2) if len({catalogue[i].gender for i in pair}) == 2
        ]
    telling = (linked for linked in users.values() if 2 <= len(linked) <= HUB)
    edges["shared_keyword"] = sorted({pair for linked in telling for pair in combinations(linked, 2)})
    return edges


def subgroups(catalogue: Iterable[Emoji]) -> list[str]:
    """Return the sorted subgroups of a catalogue."""
    return sorted({e.subgroup for e in catalogue if e.subgroup})
