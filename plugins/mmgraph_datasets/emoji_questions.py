"""Questions about an emoji, their answers, and the words that may follow its name in a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from mmgraph_datasets.emoji_catalogue import Emoji
from mmgraph_datasets.emoji_words import plain

ASKED = {
    "group": "which group ?",
    "subgroup": "which subgroup ?",
    "colour": "which colour ?",
    "skin_tone": "which skin tone ?",
}
"""Questions with one wording; `shows` names a word, see `shows`."""

KINDS = (*ASKED, "shows")
YES, NO = "yes", "no"


def shows(word: str) -> str:
    """Return the yes/no question about a word."""
    return f"does it show {word} ?"


def answer(emoji: Emoji, kind: str) -> str:
    """Return the answer to a question of `ASKED`, or '' where the emoji has none."""
    if kind == "skin_tone":
        return "" if emoji.skin_tone in ("none", "mixed") else emoji.skin_tone
    if kind == "colour":
        return emoji.colour
    return plain(emoji.group if kind == "group" else emoji.subgroup)


def hint_words(emoji: Emoji) -> list[str]:
    """Return the words that may follow the name in a caption, the most telling first."""
    said = set(emoji.name.split())
    words = [*plain(emoji.subgroup).split(), *emoji.keywords, *plain(emoji.group).split()]
    return [word for word in dict.fromkeys(words) if word not in said and word != "and"]


def depicted_words(emoji: Emoji) -> list[str]:
    """Return the words that are true of an emoji: those of its name, then its hints."""
    return [*dict.fromkeys(word for word in emoji.name.split() if word.isalpha()), *hint_words(emoji)]


def askable(depicted: Sequence[Sequence[str]]) -> set[str]:
    """Return the words that between a twentieth and a half of the pictures show.

    Of more frequent words a yes is the better guess unseen; of rarer ones a few hundred pictures teach
    nothing.
    """
    counts = Counter(word for own in depicted for word in own)
    return {word for word, found in counts.items() if len(depicted) <= 20 * found <= 10 * len(depicted)}


def shared_words(catalogue: Iterable[Emoji], count: int = 2) -> set[str]:
    """Return the words of at least `count` concepts: only such a word tells one of the other."""
    concepts: dict[str, set[str]] = {}
    for e in catalogue:
        concepts.setdefault(e.concept, set()).update(depicted_words(e))
    counts = Counter(word for words in concepts.values() for word in words)
    return {word for word, found in counts.items() if found >= count}


def denials(depicted: Sequence[Sequence[str]]) -> tuple[list[str], list[float]]:
    """Return the words of a no and their cumulative weights, such that each word is a no as often as a yes.

    With equal weights a frequent word would be a yes more often than not, since fewer pictures are left to
    deny it; answering by the word alone would then beat chance. Weights are scaled by yes / no until even.

    Args:
        depicted: The words true of each picture of a split; one of them, at random, is the word of its yes.
    """
    words = sorted({word for own in depicted for word in own})
    places = {word: i for i, word in enumerate(words)}
    own = np.zeros((len(depicted), len(words)))
    for row, said in zip(own, depicted, strict=True):
        row[[places[word] for word in said]] = 1
    own = own[own.any(1)]
    yes = (own / own.sum(1, keepdims=True)).sum(0)
    weight = yes.copy()
    for _ in range(60):
        left = weight.sum() - own @ weight  # what each picture may be denied
        share = np.divide(1.0, left, out=np.zeros_like(left), where=left > 1e-9)
        no = weight * (share.sum() - own.T @ share)
        ratio = np.divide(yes, no, out=np.zeros_like(yes), where=no > 1e-9)
        weight *= ratio
        weight /= max(weight.sum(), 1e-9)
        if np.abs(ratio - 1).max(initial=0.0) < 1e-4:
            break
    return words, weight.cumsum().tolist()
