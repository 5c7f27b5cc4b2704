"""What an answer is worth beside the right ones: exact match, F1, containment, numbers. Pure and deterministic.

Normalisation, exact match and F1 are those of the SQuAD 2.0 evaluation script
(https://rajpurkar.github.io/SQuAD-explorer/, Rajpurkar, Jia and Liang, ACL 2018).
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """Lower case, without punctuation and articles, one space between words."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, right: Sequence[str]) -> float:
    """1 where the answer is one of the right ones, normalized; nothing is right where there are none."""
    return float(normalized(answer) in {normalized(one) for one in right or [""]})


def f1(answer: str, right: Sequence[str]) -> float:
    """The best overlap of words, as the harmonic mean of precision and recall."""
    return max(_f1(normalized(answer).split(), normalized(one).split()) for one in right or [""])


def _f1(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    common = sum((Counter(said) & Counter(gold)).values())
    return 2 * common / (len(said) + len(gold))


def contains(answer: str, right: Sequence[str]) -> float:
    """1 where one of the right answers stands in the answer in whole words, normalized."""
    said = f" {normalized(answer)} "
    return float(any(f" {gold} " in said for one in right if (gold := normalized(one))))


@dataclass(frozen=True, slots=True)
class Number:
    """``digits`` as written, without separators; its value is ``digits * scale``. ``unit`` is "%", "bp", a
    currency's sign, or empty."""

    digits: str
    scale: float = 1.0
    unit: str = ""

    @property
    def value(self) -> float:
        return float(self.digits) * self.scale

    @property
    def step(self) -> float:
        """The worth of one in the last digit given."""
        _, _, decimals = self.digits.partition(".")
        return self.scale / 10.0 ** len(decimals)

    @property
    def significant(self) -> int:
        return len(self.digits.lstrip("-").replace(".", "").lstrip("0"))


_SCALES = {
    "thousand": 1e3, "k": 1e3,
    "million": 1e6, "millions": 1e6, "mn": 1e6, "mm": 1e6, "m": 1e6,
    "billion": 1e9, "billions": 1e9, "bn": 1e9, "b": 1e9,
    "trillion": 1e12, "trillions": 1e12, "tn": 1e12, "t": 1e12,
}  # fmt: skip
_CURRENCIES = {"usd": "$", "us$": "$", "dollars": "$", "dollar": "$", "eur": "€", "euros": "€", "gbp": "£"}
# Single letters scale an amount of money only: else "m" may be metres, and 3M is a company.
_NUMBER = re.compile(
    r"""(?<![\w.,])
    (?P<open>\()?
    (?P<sign>[-−–])?
    (?P<before>(?:US)?\$|[€£¥]|(?:USD|EUR|GBP)\s?)?
    (?P<inner>[-−–])?
    (?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
    (?P<close>\))?
    (?:\s?(?P<percent>%|percent\b|per\ cent\b|percentage\ points?\b)
      |\s?(?P<points>bps\b|basis\ points?\b)
      |\s?(?P<scale>thousand|millions?|billions?|trillions?|mn|bn|tn|(?(before)(?:mm|[kmbt])|(?!)))\b)?
    (?:\s?(?P<after>USD|dollars?|EUR|euros|GBP|[€£])(?!\w))?
    (?!\w)(?!,\d)(?!\.\d)""",
    re.X | re.I,
)
_YEARS = range(1900, 2101)


def numbers(text: str) -> list[Number]:
    """The numbers of a text with their units: thousands separators, %, currencies, million, (negative)."""
    found = []
    for match in _NUMBER.finditer(text):
        digits = match["digits"].replace(",", "")
        digits = f"0{digits}" if digits.startswith(".") else digits
        if match["sign"] or match["inner"] or (match["open"] and match["close"]):
            digits = f"-{digits}"
        found.append(Number(digits, _SCALES.get((match["scale"] or "").lower(), 1.0), _unit(match)))
    return found


def _unit(match: re.Match[str]) -> str:
    if match["percent"]:
        return "%"
    if match["points"]:
        return "bp"
    currency = (match["before"] or match["after"] or "").strip().lower()
    return _CURRENCIES.get(currency, currency)


def numeric(answer: str, right: Sequence[str]) -> float | None:
    """1 where the answer has every number of one of the right ones; None where none of these has a number.

    Years beside other numbers do not count: answers name them or not.
    """
    golds = [gold for one in right if (gold := _without_years(numbers(one)))]
    if not golds:
        return None
    said = numbers(answer)
    return float(any(all(any(same(one, g) for one in said) for g in gold) for gold in golds))


def _without_years(found: list[Number]) -> list[Number]:
    others = [n for n in found if n.unit or n.scale != 1 or "." in n.digits or int(n.digits) not in _YEARS]
    return others or found


def same(said: Number, gold: Number) -> bool:
    """Whether two numbers are one, rounded to the coarser of the two, which has two digits at least.

    A unit or scale that the gold number lacks is that of its question ("in millions"); one that it has must be
    the answer's too, except for a currency's sign.
    """
    if gold.unit and said.unit != gold.unit and (said.unit or gold.unit in ("%", "bp")):
        return False
    scale = said.scale if gold.scale != 1 or said.scale == 1 else 1.0
    return _alike(Number(said.digits, scale), gold) or _alike(said, gold)


def _alike(said: Number, gold: Number) -> bool:
    coarse, fine = (said, gold) if said.step > gold.step else (gold, said)
    if coarse.step == fine.step or coarse.significant < 2:
        return math.isclose(said.value, gold.value, rel_tol=1e-9)
    return abs(said.value - gold.value) <= coarse.step / 2 * (1 + 1e-9)


def flat(text: str) -> str:
    """One space wherever there is white space: what stands word for word in a text stands in this."""
    return " ".join(text.split())
