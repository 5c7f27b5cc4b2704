"""Whether a text that holds a claim's words says something else with them. Pure.

Four things that words alone can show: what is denied in one and not in the other; an opposite in the place of a word
(``decreased`` for ``increased``, ``north`` for ``south``, ``ineffective`` for ``effective``); two numbers or names
that fit the text better when they are exchanged; and a text that asks what the claim asserts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, islice

from rag.terms import Term, stem

# How many terms on either side of a word say what it belongs to, and how much better the other must fit. A neighbour
# that stands on the other side of it counts less: "the pump feeds the tank", "the tank feeds the pump".
_AROUND = 4
_MARGIN = 1.05
_OTHER_SIDE = 0.6
_MOST_PAIRS = 30  # of numbers or names that are tried; a sentence with more is a list

# Words of the sides of a line exclude each other; what is indented belongs to the line above.
_OPPOSITES = """
    increase rise rose grow grew grown growth raise elevate enhance expand gain climb higher high greater more
        accelerate upregulate boost / decrease decline fall fell fallen drop reduce reduction lower low lesser less
        fewer diminish attenuate slow downregulate shrink lose
    promote induce activate stimulate facilitate trigger enable cause /
        inhibit suppress prevent block impair disable abolish
    positive positively / negative negatively inverse inversely
    improve improvement better best / worsen worse worst deteriorate
    before prior precede / after following follow
    first / last
    early earlier earliest / late later latest
    north northern northward / south southern southward
    east eastern eastward / west western westward
    northeast northeastern / southwest southwestern
    northwest northwestern / southeast southeastern
    upper top / lower bottom
    left / right
    above over exceed / below under
    inside within internal inner / outside beyond external outer
    male man men father son brother husband boy king / female woman women mother daughter sister wife girl queen
    large largest big biggest / small smallest
    highest / lowest
    most majority / least minority
    old oldest older / young youngest younger new newest newer
    long longest longer / short shortest shorter
    maximum max / minimum min
    win won winner / lose lost loser
    open / close
    begin began begun start / end finish stop
    buy bought purchase / sell sold
    hot hotter hottest warm / cold colder coldest cool
    always / sometimes
    all every / none
    true / false
    success succeed successful / failure fail
    strong stronger / weak weaker
    fast faster fastest / slow slower slowest
    major / minor
    enter / leave left exit
    profit / loss
    import / export
    accept approve allow permit / reject refuse forbid forbidden prohibit deny
    mandatory required compulsory / optional voluntary
    public / private
    include inclusive / exclude exclusive
    morning am / evening pm
    summer / winter
    same identical / different
    many / few
    credit / debit
    ascending / descending
    forward / backward
    horizontal / vertical
    deficiency depletion loss / excess overexpression
    dollar usd / euro eur / pound gbp / yen jpy / crown / franc chf / rupee inr / yuan rmb
"""


def _sides() -> dict[str, list[tuple[int, int]]]:
    sides: dict[str, list[tuple[int, int]]] = {}
    for axis, line in enumerate(re.sub(r"\n {8}", " ", _OPPOSITES).strip().split("\n")):
        for side, words in enumerate(line.split("/")):
            for word in words.split():
                sides.setdefault(stem(word), []).append((axis, side))
    return sides


_SIDES = _sides()
# Of the first lines, the words must be there, and near what they are said of: that something rises needs a rise.
_NEEDED = (0, 1, 2)
_CHANGES = frozenset(word for word, sides in _SIDES.items() if any(axis in _NEEDED for axis, _ in sides))
_NEAR = 0.3
_PREFIXES = ("in", "un", "non", "dis", "im", "ir", "de", "anti", "mis")
_ASKS = re.compile(
    r"\bwhether\b|\bhypothesi[sz]|\b(?:unclear|unknown|uncertain|poorly understood)\b"
    r"|\bto (?:determine|examine|investigate|evaluate|assess|explore)\b|[?？؟]\s*$",
    re.I,
)
_BY = re.compile(r"\bby\b", re.I)


def asks(text: str) -> bool:
    """Whether a sentence names a question rather than an answer."""
    return _ASKS.search(text) is not None


def is_passive(text: str) -> bool:
    """As far as the word "by" tells."""
    return _BY.search(text) is not None


def contradicts(
    claim: Sequence[Term], text: Sequence[Term], required: frozenset[str], is_turned: bool = False
) -> bool:
    """``required`` are the claim's numbers and names. ``is_turned`` says that one is in the passive voice and the
    other is not, so that sides mean nothing."""
    fit = _Fit(claim, text, 1.0 if is_turned else _OTHER_SIDE)
    return _is_denied_otherwise(claim, text) or _has_opposites(fit) or _fits_exchanged(fit, required)


class _Fit:
    """How well words fit a text in the places of a claim."""

    def __init__(self, claim: Sequence[Term], text: Sequence[Term], other_side: float) -> None:
        self.claim, self._other_side = claim, other_side
        self.places: dict[str, list[int]] = {}
        for at, term in enumerate(text):
            self.places.setdefault(term.stem, []).append(at)

    def of(self, stems: Sequence[str], at: int, without: Sequence[str] = ()) -> float:
        """How near one of the stems is, where that is nearest, to what surrounds the claim's term ``at``."""
        left = range(max(0, at - _AROUND), at)
        right = range(at + 1, min(len(self.claim), at + 1 + _AROUND))
        around = [
            (self.places[word], other in left, abs(other - at))
            for other in (*left, *right)
            if (word := self.claim[other].stem) in self.places and word not in stems and word not in without
        ]
        places = [place for word in stems for place in self.places.get(word, ())]
        return max((sum(self._near(place, *each) for each in around) for place in places), default=0.0)

    def _near(self, place: int, others: Sequence[int], is_left: bool, in_claim: int) -> float:
        """What is near in the claim counts more."""
        nearest = max(
            (1.0 if (other < place) == is_left else self._other_side) / (1 + abs(place - other))
            for other in others
        )
        return nearest / in_claim


def _is_denied_otherwise(claim: Sequence[Term], text: Sequence[Term]) -> bool:
    """What is denied right there in one, and never in the other; or the claim denies what the text does not."""
    said, found = _denials(claim), _denials(text)
    for one, other in ((said, found), (found, said)):
        for word, denied in one.items():
            if other.get(word) == {0} and (denied == {1} or (word in _CHANGES and 0 not in denied)):
                return True
    here = {term.stem for term in claim if term.denied}
    return bool(here) and not any(term.denied and term.stem in here for term in text)


def _denials(of: Sequence[Term]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for term in of:
        found.setdefault(term.stem, set()).add(term.denied)
    return found


def _has_opposites(fit: _Fit) -> bool:
    for at, term in enumerate(fit.claim):
        if term.stem not in fit.places and any(_negative(term.stem, other) for other in fit.places):
            return True
        for axis, side in _SIDES.get(term.stem, ()):
            same = [each for each in fit.places if (axis, side) in _SIDES.get(each, ())]
            other = [
                each for each in fit.places if any(a == axis and s != side for a, s in _SIDES.get(each, ()))
            ]
            how_near = fit.of(same, at)
            if other and (not same or fit.of(other, at) > _MARGIN * how_near):
                return True
            if axis in _NEEDED and how_near < _NEAR and len(fit.claim) > 1:
                return True
    return False


def _negative(one: str, other: str) -> bool:
    """``effective`` and ``ineffective``, ``deactivates`` and ``activation``."""
    for short, long in ((one, other), (other, one)):
        for prefix in _PREFIXES:
            if long.startswith(prefix) and len(short) >= 4:
                bare = long[len(prefix) :]
                if bare == short or (len(bare) >= 6 and bare[:6] == short[:6]):
                    return True
    return False


def _fits_exchanged(fit: _Fit, required: frozenset[str]) -> bool:
    claim = fit.claim
    found = {
        term.stem: at for at, term in enumerate(claim) if term.stem in required and term.stem in fit.places
    }
    for are_numbers in (True, False):
        kind = [at for at in found.values() if claim[at].is_number is are_numbers]
        for one, other in islice(combinations(kind, 2), _MOST_PAIRS):
            a, b = pair = claim[one].stem, claim[other].stem
            as_is = fit.of([a], one, pair) + fit.of([b], other, pair)
            if fit.of([b], one, pair) + fit.of([a], other, pair) > _MARGIN * as_is:
                return True
    return False
