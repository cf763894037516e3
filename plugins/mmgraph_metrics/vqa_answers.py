"""VQA answers in one form, by the published rules of the benchmark: what must not make an answer wrong.

In order: lower case; punctuation taken out, or made a space where it joins two words; full stops taken out unless
a digit follows; number words to ten as digits; articles taken out; missing apostrophes of contractions put back.
Colons and apostrophes stay (2:50, girl's).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from itertools import combinations

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_STOP = re.compile(r"\.(?!\d)")
_DIGITS = "zero one two three four five six seven eight nine ten"
_NUMBERS = {"none": "0", **{word: str(number) for number, word in enumerate(_DIGITS.split())}}
_ARTICLES = ("a", "an", "the")
_CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
he's how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
needn't not've o'clock oughtn't shan't she'd've she's should've shouldn't shouldn't've somebody'd've somebody'll
somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd
there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll
what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""


def _incomplete(word: str) -> Iterator[str]:
    """Yield a contraction without one or more of its apostrophes."""
    places = [place for place, letter in enumerate(word) if letter == "'"]
    for count in range(1, len(places) + 1):
        for left_out in combinations(places, count):
            yield "".join(letter for place, letter in enumerate(word) if place not in left_out)


_COMPLETE = {short: word for word in _CONTRACTIONS.split() for short in _incomplete(word)}


@functools.lru_cache(maxsize=65536)
def normal(answer: str) -> str:
    """Return an answer in the form in which answers are compared."""
    text = " ".join(answer.lower().split())
    parts = text
    for mark in _MARKS:
        apart = f"{mark} " in text or f" {mark}" in text or _THOUSANDS.search(text) is not None
        parts = parts.replace(mark, "" if apart else " ")
    words = (_NUMBERS.get(word, word) for word in _STOP.sub("", parts).split())
    return " ".join(_COMPLETE.get(word, word) for word in words if word not in _ARTICLES)
