"""Names of emoji as plain words, and what they say of skin tone, gender and concept.

Names keep only lower-case letters, digits and single spaces, so that every text tokenizer gives them back
exactly and a name can be marked right or wrong by comparing strings.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection

TONES = {"🏻": "light", "🏼": "medium light", "🏽": "medium", "🏾": "medium dark", "🏿": "dark"}
"""The five Fitzpatrick modifiers."""

JOINER = "\u200d"
PRESENTATION = "\ufe0f"
GENDERS = {"woman": "woman", "women": "woman", "man": "man", "men": "man"}
NEUTRAL = {"woman": "person", "man": "person", "women": "people", "men": "people"}

IRREGULAR = {
    "boy": ("child", "man"),
    "girl": ("child", "woman"),
    "old man": ("older person", "man"),
    "old woman": ("older person", "woman"),
    "prince": ("person with crown", "man"),
    "princess": ("person with crown", "woman"),
    "merman": ("merperson", "man"),
    "mermaid": ("merperson", "woman"),
    "santa claus": ("mx claus", "man"),
    "mrs claus": ("mx claus", "woman"),
    "woman and man holding hands": ("people holding hands", "both"),
}
"""Names that the rules below would misread: (concept, gender)."""

UNITS = ("family", "kiss", "couple with heart")
"""Concepts whose names list their members: every member list is a variant of one concept."""


@functools.lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Return `text` as lower-case words of ASCII letters and digits."""
    text = text.replace("&", " and ").replace("#", " number sign ").replace("*", " asterisk ")
    text = unicodedata.normalize("NFKD", text)
    text = re.sub(r"['’.!]", "", "".join(c for c in text if not unicodedata.combining(c)))
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def bare(emoji: str) -> str:
    """Return the emoji without variation selectors, which packages set differently."""
    return emoji.replace(PRESENTATION, "")


def tones(emoji: str) -> tuple[str, ...]:
    """Return the skin tones of an emoji, one per modifier."""
    return tuple(TONES[c] for c in emoji if c in TONES)


def untoned_name(name: str) -> str:
    """Return a package's name without its skin tones."""
    return re.sub(r"_(medium-light|medium-dark|light|medium|dark)_skin_tone", "", name)


def concept_and_gender(name: str, names: Collection[str]) -> tuple[str, str]:
    """Return the concept shared by all variants of a person, and the gender: woman, man, both or ''.

    The concept is a name that exists ("scientist") where there is one, else the name with "person".

    Args:
        name: Plain, untoned name of an emoji of the group People & Body.
        names: All plain, untoned names.
    """
    name = name.removesuffix(" facing right")
    if name in IRREGULAR:
        return IRREGULAR[name]
    for unit in UNITS:
        if name.startswith(unit + " "):
            return unit, ""
    words = name.split()
    found = {GENDERS[word] for word in words if word in GENDERS}
    if len(found) != 1:
        return name, ""
    gender = found.pop()
    without = " ".join(word for word in words if word not in GENDERS)
    neutral = " ".join(NEUTRAL.get(word, word) for word in words)
    return (without if without in names and neutral not in names else neutral), gender
