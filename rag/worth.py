"""What passages are worth to a question: hits by their scores, and what stands around them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag.types import At, Hit, Passage

# What a further hit of the same page or section loses, in units of score, once and at most; and what is left of a
# hit's worth from one neighbour to the next. Measured as recall of evidence under equal budgets (docs/log.md).
AGAIN, AGAIN_AT_MOST = 0.15, 0.3
FADE, FADE_BACK = 0.2, 0.19  # what follows explains more often than what comes before
GROWTH = 32  # neighbours on either side of a hit
# What is left from one passage to the next of a page or section of at most LITTLE tokens, which is best read whole.
WITHIN, LITTLE = 0.7, 500

Worths = NDArray[np.float64]
_STEPS = np.arange(1, GROWTH + 1)
_WAYS = np.array([[1], [-1]])
_AFTER: Worths = np.power(FADE, _STEPS, dtype=np.float64)
_BEFORE: Worths = np.power(FADE_BACK, _STEPS, dtype=np.float64)
_WITHIN: Worths = np.power(WITHIN, _STEPS, dtype=np.float64)

# A document's id, and a page, or a sheet and a section, of it.
Region = tuple[str, int | None, str | None, tuple[str, ...]]


def region_of(passage: Passage) -> Region:
    """Its page, else its sheet and section; of a document without any, all of it."""
    section = () if passage.page is not None else passage.section
    return passage.document_id, passage.page, passage.sheet, section


def by_worth(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]]) -> list[At]:
    """Passages, the most worth first; of equal worth the better hit, then the earlier text."""
    if not hits:
        return []
    laid = Laid(texts)
    places = np.array([laid.index[hit.passage.at] for hit in hits])
    worths = np.array(_relative(_spread(hits, places.tolist(), laid)))
    own, shared = np.zeros(len(laid.passages)), np.zeros(len(laid.passages))
    rank = np.full(len(laid.passages), len(hits))
    rank[places], own[places] = np.arange(len(hits)), worths
    _leave(own, shared, laid, places, worths)
    of_each = np.maximum(own, shared)
    order = np.lexsort((np.arange(len(of_each)), rank, -of_each))
    return [laid.passages[at].at for at in order[: np.count_nonzero(of_each)].tolist()]


def _leave(own: Worths, shared: Worths, laid: Laid, places: NDArray[np.int64], worths: Worths) -> None:
    """To neighbours what hits are worth to them: to those of a little region each its own, to those behind them a share
    of what all hits around them leave. Arrays are (hit, after or before, step outwards)."""
    within = np.stack([laid.region_last[places] - places, places - laid.region_first[places]], axis=1)
    reach = np.stack([laid.run_last[places] - places, places - laid.run_first[places]], axis=1)[..., None]
    within = np.where(laid.little[places][:, None], within, 0)[..., None].clip(max=GROWTH)
    worth = worths[:, None, None]
    to: NDArray[np.int64] = np.add(places[:, None, None], _WAYS * _STEPS)
    there, little = reach >= _STEPS, within >= _STEPS
    near, far = there & little, there & ~little
    np.maximum.at(own, to[near], np.broadcast_to(worth * _WITHIN, to.shape)[near])
    left = np.where(within, worth * _WITHIN[within - 1], worth)
    faded = np.where(_WAYS > 0, _AFTER[_STEPS - within - 1], _BEFORE[_STEPS - within - 1])
    np.add.at(shared, to[far], (left * faded)[far])  # in the order of the hits


@dataclass(frozen=True)
class Laid:
    """Passages laid out in one row, by document and ordinal. ``run``: consecutive ones of a document; ``region``: those
    of a run that are of one page or section. First and last are places in the row."""

    texts: Mapping[str, Sequence[Passage]]

    @cached_property
    def passages(self) -> list[Passage]:
        return [passage for id_ in sorted(self.texts) for passage in self.texts[id_]]

    @cached_property
    def index(self) -> dict[At, int]:
        return {passage.at: at for at, passage in enumerate(self.passages)}

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        """A number for each region."""
        known: dict[Region, int] = {}
        return np.array([known.setdefault(region_of(p), len(known)) for p in self.passages], np.int64)

    @cached_property
    def region(self) -> list[int]:
        found: list[int] = self._codes.tolist()
        return found

    @cached_property
    def little(self) -> NDArray[np.bool_]:
        """Whether the passage is of a page or section that is best read whole."""
        tokens = np.bincount(self._codes, [passage.tokens for passage in self.passages])
        return np.asarray(tokens <= LITTLE)[self._codes]

    @cached_property
    def _begins_run(self) -> NDArray[np.bool_]:
        ordinals = np.array([passage.ordinal for passage in self.passages])
        documents = np.repeat(
            np.arange(len(self.texts)), [len(self.texts[id_]) for id_ in sorted(self.texts)]
        )
        begins = np.ones(len(self.passages), np.bool_)
        begins[1:] = (np.diff(ordinals) != 1) | (np.diff(documents) != 0)
        return begins

    @cached_property
    def _begins_region(self) -> NDArray[np.bool_]:
        begins = self._begins_run.copy()
        begins[1:] |= np.diff(self._codes) != 0
        return begins

    @cached_property
    def run_first(self) -> NDArray[np.int64]:
        return _first(self._begins_run)

    @cached_property
    def run_last(self) -> NDArray[np.int64]:
        return _last(self._begins_run)

    @cached_property
    def region_first(self) -> NDArray[np.int64]:
        return _first(self._begins_region)

    @cached_property
    def region_last(self) -> NDArray[np.int64]:
        return _last(self._begins_region)


def _first(begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of the stretch that each is in."""
    return np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))


def _last(begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    ends = np.append(begins[1:], True)
    at = np.where(ends, np.arange(len(begins)), len(begins))
    return np.minimum.accumulate(at[::-1])[::-1]


def _spread(hits: Sequence[Hit], places: Sequence[int], laid: Laid) -> list[float]:
    """Scores, less for a hit whose page or section has had better ones, unless it is little."""
    seen: Counter[int] = Counter()
    scores = []
    little: list[bool] = laid.little[places].tolist()
    for hit, at, is_little in zip(hits, places, little, strict=True):
        before = seen[region := laid.region[at]]
        seen[region] += 1
        scores.append(hit.score - (0.0 if is_little else min(AGAIN * before, AGAIN_AT_MOST)))
    return scores


def _relative(scores: Sequence[float]) -> list[float]:
    """From 1 for the best to a little above 0 for the worst."""
    best, worst = max(scores), min(scores)
    return [(score - worst + 1e-6) / (best - worst + 1e-6) for score in scores]
