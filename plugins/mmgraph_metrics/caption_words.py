"""Captions as words, nearly as the Penn Treebank tokenizer and the captioning benchmarks cut them.

The benchmarks run Stanford's tokenizer, a Java program, and drop its punctuation tokens. This does the same in
Python for the text of captions: lower case, contractions split (`don't` to `do n't`, `man's` to `man 's`), hyphens
kept inside words, punctuation dropped. Known differences: brackets are dropped, where the official scripts keep
them as `-lrb-` (their list of punctuation is in upper case, their tokens in lower); a full stop is kept only
in single letters (`u.s.`), a list of abbreviations (`dr.`, `p.m.`) and numbers; symbols (`$`, `%`, `&`, `#`) are
words of their own, but a web address or an emoticon is cut like other text; American spelling is not enforced.
"""

from __future__ import annotations

import functools
import re
from collections import Counter

_ABBREVIATIONS = "mr mrs ms dr st vs jr sr etc inc co corp ave blvd rd ft mt prof gen sgt lt capt"
_WORD = re.compile(
    rf"""
    (?:[a-z]\.){{2,}}                                   # u.s., p.m.
    | (?:{"|".join(_ABBREVIATIONS.split())})\.(?=\s|$) | no\.(?=\s*\d)                 # dr. smith, main st., no. 7
    | \d+(?:[.,:/]\d+)*(?:-[^\W_]+)*(?:st|nd|rd|th|s)?  # 3.5-inch, 5:30, 1/2, 1st
    | [^\W_]+(?:['’][^\W_]+)*(?:[-_/][^\W_]+(?:['’][^\W_]+)*)*  # t-shirt, o'clock, don't
    | ['’](?:s|m|d|ll|re|ve)\b
    | [$%&#@*+=<>/£€°]
    """,
    re.VERBOSE,
)
_CLITIC = re.compile(r"(?<=\w)(n['’]t|['’](?:s|m|d|ll|re|ve)|['’](?=\s|$))$")
_JOINED = {"cannot": ("can", "not"), "gonna": ("gon", "na"), "gotta": ("got", "ta"), "wanna": ("wan", "na")}


@functools.lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """Return the words of a caption."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        clitics: list[str] = []
        while (match := _CLITIC.search(word)) is not None:
            clitics.insert(0, match[0].replace("’", "'"))
            word = word[: match.start()]
        found += [*_JOINED.get(word, (word,)), *clitics]
    return tuple(found)


@functools.lru_cache(maxsize=65536)
def ngrams(text: str, longest: int = 4) -> tuple[Counter[tuple[str, ...]], ...]:
    """Return how often each run of 1, 2, ... `longest` words is in a caption."""
    found = words(text)
    return tuple(
        Counter(found[start : start + n] for start in range(len(found) - n + 1)) for n in range(1, longest + 1)
    )
