"""Text as terms: what of a sentence is compared when one is looked for in another. Pure.

A term is a stem, or a number by its value: ``1,000``, ``1 000`` and ``one thousand`` are one term, and so are
``3 May 2026`` and ``2026-05-03``, ``5 percent`` and ``5 %``, ``$1.2 billion`` and ``1,200 million dollars``.
Words that say nothing about support are left out. A term knows whether it is denied. Scripts without spaces are
compared by pairs of characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from rag.text import cased_words

# How far a denial reaches, in terms: "no significant difference".
_REACH = 2

# Function words say nothing about support. English; words of other languages all count, which errs strict.
_STOP = frozenset(
    "a an and are as at be been being but by can could did do does for from had has have how i if in into is it it's "
    "its 's may might must of on or our shall should so than that the their them then there these they this those to "
    "up was we were what when where which while who will with would yes you your according document documents says "
    "states stated he she his her him also any".split()
)
_DENIALS = frozenset(
    "not no never none neither nor without cannot n't can't couldn't didn't don't doesn't hadn't hasn't haven't isn't "
    "aren't wasn't weren't won't wouldn't shouldn't mustn't lack lacks lacked lacking fails failed "
    "nicht kein keine keinen keiner niemals jamais nunca ikke inte не нет لا ليس لم לא אין".split()
)
_AFFIRMED = frozenset(["only", "just"])  # "not only" denies nothing
_CJK_DENIAL = re.compile("[不没沒未無无非]|ない|ませ")

_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
# From the beginning of a run of letters alone, and in one go: tried from each letter, a long run takes seconds.
_DIVIDED = re.compile(r"(?<![^\W\d_])([^\W\d_]++)-\n([^\W\d_]+)")
# A denial does not reach beyond its clause.
_CLAUSE = re.compile(r"[;:,()](?=\s)|\s[–—-]+\s")
_CURRENCIES = {"US$": " dollars ", "$": " dollars ", "€": " euros ", "£": " pounds ", "¥": " yen "}
_CURRENCY = re.compile(r"US\$|[$€£¥]")

_MONTHS = "january february march april may june july august september october november december".split()
_SHORT_MONTHS = {month[:3]: month for month in _MONTHS} | {"sept": "september"}
_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})|(\d{1,2})\.(\d{1,2})\.(\d{4})")
_SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "mn": 10**6,
    "billion": 10**9,
    "bn": 10**9,
    "trillion": 10**12,
}
_SCALES |= {f"{word}s": value for word, value in _SCALES.items() if len(word) > 2}
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen".split()
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMERALS = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_SCALE_NOTE = re.compile(r"\bin (thousand|million|billion)s\b|\(\$?(thousand|million|billion)s\b", re.I)


class Term(NamedTuple):
    """``word`` is what stands in the text. ``measures`` says that it is what the number before it counts."""

    stem: str
    word: str
    denied: int  # 1 for what comes right after a denial, 2 for what follows it, 0 otherwise
    measures: bool

    @property
    def is_number(self) -> bool:
        return self.stem[0].isdigit() or (self.stem[0] == "-" and len(self.stem) > 1)


def terms(text: str) -> list[Term]:
    # A word that was divided at the end of a line is there whole and in its parts: which it was, nobody knows.
    text += "".join(f" ; {''.join(parts)}" for parts in _DIVIDED.findall(text))
    text = _CURRENCY.sub(lambda match: _CURRENCIES[match.group()], text)
    return [term for clause in _CLAUSE.split(text) for term in _clause_terms(cased_words(clause))]


def table_scale(line: str) -> int | None:
    """What the numbers below such a line are to be multiplied with: ``(dollars in millions)``."""
    match = _SCALE_NOTE.search(line)
    return _SCALES[(match.group(1) or match.group(2)).lower()] if match else None


def scaled(stem: str, scale: int) -> str | None:
    """A number of a table with such a note, as it is written elsewhere; None for a share."""
    return None if stem.endswith("%") or not _is_plain(stem) else _shown(Decimal(stem) * scale)


def _clause_terms(words: Sequence[str]) -> Iterator[Term]:
    reach, at, counted = 0, 0, False
    while at < len(words):
        word = words[at]
        low = word.lower()
        follows = words[at + 1].lower() if at + 1 < len(words) else ""
        if low in _DENIALS:
            at += 1
            if follows not in _AFFIRMED and not (low == "no" and follows[:1].isdigit()):
                reach = 0 if reach else 1  # twice denied is said
            continue
        if not word[0].isalpha() or low in _NUMERALS:
            numbers, taken = _numbers(words, at)
            if numbers:
                yield from (Term(number, word, reach, False) for number in numbers)
                reach, at, counted = _less(reach), at + taken, True
                continue
        at += 1
        is_month = word == "May" and (counted or follows[:1].isdigit())
        if low in _STOP and not is_month:
            counted = False
            continue
        for stem, part, denied in _stems(word):
            yield Term(stem, part, reach or int(denied), counted)
        reach, counted = _less(reach), False


def _less(reach: int) -> int:
    return (reach + 1) % (_REACH + 1) if reach else 0


def _stems(word: str) -> Iterator[tuple[str, str, bool]]:
    """A word's stem, or the pairs of a script without spaces; with what stands there, and whether it is denied."""
    at = 0
    for run in _SPACELESS.finditer(word) if not word.isascii() else ():
        yield from _plain(word[at : run.start()])
        signs, at = run.group(), run.end()
        for i in range(max(1, len(signs) - 1)):
            # What follows a sign of denial is denied.
            yield (
                signs[i : i + 2],
                signs[i : i + 2],
                _CJK_DENIAL.search(signs, max(0, i - 1), i + 2) is not None,
            )
    yield from _plain(word[at:])


def _plain(word: str) -> Iterator[tuple[str, str, bool]]:
    if word:
        yield stem(word.lower()), word, False


def _numbers(words: Sequence[str], at: int) -> tuple[list[str], int]:
    """Values of the digits or numerals from ``at`` on, and how many words they take; none and 0 where it is none."""
    word = words[at].lower()
    if not word[0].isalpha():
        if date := _DATE.fullmatch(word):
            year, month, day = date.group(1, 2, 3) if date.group(1) else date.group(6, 5, 4)
            if 1 <= int(month) <= 12:
                return [str(int(day)), _MONTHS[int(month) - 1], year], 1
        found = [_canonical(part) for part in re.split(r"(?<=\d)-(?=\d)", word)]
        scale, taken = _scale(words, at + 1)
        if scale > 1 and _is_plain(found[-1]):
            found = [_shown(Decimal(number) * scale) if _is_plain(number) else number for number in found]
        elif taken == 0 and (percent := _percent(words, at + 1)):
            return [f"{number}%" for number in found], 1 + percent
        elif taken == 0 and at + 1 < len(words) and words[at + 1] in ("st", "nd", "rd", "th"):
            taken = 1
        return found, 1 + taken
    if word == "one" and _scale(words, at + 1)[1] == 0:
        return [], 0  # a pronoun, more often than not
    value, taken = _NUMERALS[word], 1
    follows = words[at + 1].lower() if at + 1 < len(words) else ""
    if value >= 20 and 0 < _NUMERALS.get(follows, 0) < 10:
        value, taken = value + _NUMERALS[follows], 2
    scale, more = _scale(words, at + taken)
    percent = 0 if more else _percent(words, at + taken)
    return [_shown(Decimal(value) * scale) + "%" * (percent > 0)], taken + more + percent


def _scale(words: Sequence[str], at: int) -> tuple[int, int]:
    scale, taken = 1, 0
    while at + taken < len(words) and (by := _SCALES.get(words[at + taken].lower())):
        scale, taken = scale * by, taken + 1
    return scale, taken


def _percent(words: Sequence[str], at: int) -> int:
    """How many words say "percent" there. Percentage points are another unit."""
    following = [word.lower() for word in words[at : at + 2]]
    if following == ["per", "cent"]:
        return 2
    return int(following[:1] in (["percent"], ["pct"]))


def _canonical(number: str) -> str:
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", number)
    share = bare.endswith("%")
    bare = bare.rstrip("%")
    if _is_plain(bare):
        bare = _shown(Decimal(bare))
    return bare + "%" * share


def _is_plain(number: str) -> bool:
    """Not a code, such as 0417, a version, a time or a fraction."""
    return re.fullmatch(r"-?(?:0|[1-9]\d{0,40})(?:\.\d{1,40})?", number, re.ASCII) is not None


def _shown(value: Decimal) -> str:
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Enough to let ``days`` meet ``day`` and ``association`` ``associated``; a real stemmer would merge too much."""
    if word in _SHORT_MONTHS and word != "may":
        return _SHORT_MONTHS[word]
    for ending, instead, least in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word[: -len(ending)] + instead
    return word.removesuffix("e") if len(word) > 4 else word


# What is cut off, one after the other; what is put in its place; how much must remain.
_ENDINGS = (
    ("'s", "", 1),
    ("ies", "y", 3),
    ("es", "e", 3),
    ("s", "", 3),
    ("ing", "", 3),
    ("ed", "", 3),
    ("ion", "", 5),
    ("ment", "", 5),
    ("ly", "", 5),
)
