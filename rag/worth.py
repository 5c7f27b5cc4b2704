"""What passages are worth to a question: hits by their scores, and what stands around them. Pure."""

from __future__ import annotations

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
_STEPS = np.arange(1.0, GROWTH + 1)
_AFTER: Worths = FADE**_STEPS
_BEFORE: Worths = FADE_BACK**_STEPS
_WITHIN: Worths = WITHIN**_STEPS

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
    own, shared = np.zeros(len(laid.passages)), np.zeros(len(laid.passages))
    rank = np.full(len(laid.passages), len(hits))
    for number, (hit, worth) in enumerate(zip(hits, _relative(_spread(hits, laid)), strict=True)):
        at = laid.index[hit.passage.at]
        rank[at] = number
        own[at] = max(own[at], worth)
        # Views of what stands on either side, from the hit outwards.
        if (last := min(at + GROWTH, laid.run_last[at])) > at:
            within = laid.region_last[at] - at if laid.little[at] else 0
            _leave(own[at + 1 : last + 1], shared[at + 1 : last + 1], worth, _AFTER, within)
        if (first := max(at - GROWTH, laid.run_first[at])) < at:
            within = at - laid.region_first[at] if laid.little[at] else 0
            _leave(own[first:at][::-1], shared[first:at][::-1], worth, _BEFORE, within)
    worths = np.maximum(own, shared)
    order = np.lexsort((np.arange(len(worths)), rank, -worths))
    return [laid.passages[at].at for at in order[: np.count_nonzero(worths)].tolist()]


def _leave(own: Worths, shared: Worths, worth: float, fading: Worths, within: int) -> None:
    """To neighbours what a hit is worth to them: to the first ``within`` each its own, to those behind them a share of
    what all hits around them leave."""
    within = min(within, len(own))
    if within:
        own[:within] = np.maximum(own[:within], worth * _WITHIN[:within])
        worth *= _WITHIN[within - 1]
    if within < len(own):
        shared[within:] += worth * fading[: len(own) - within]


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
    def little(self) -> list[bool]:
        """Whether the passage is of a page or section that is best read whole."""
        tokens = np.bincount(self._codes, [passage.tokens for passage in self.passages])
        found: list[bool] = (tokens <= LITTLE)[self._codes].tolist()
        return found

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
    def run_first(self) -> list[int]:
        return _first(self._begins_run)

    @cached_property
    def run_last(self) -> list[int]:
        return _last(self._begins_run)

    @cached_property
    def region_first(self) -> list[int]:
        return _first(self._begins_region)

    @cached_property
    def region_last(self) -> list[int]:
        return _last(self._begins_region)


def _first(begins: NDArray[np.bool_]) -> list[int]:
    """Of the stretch that each is in."""
    found: list[int] = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0)).tolist()
    return found


def _last(begins: NDArray[np.bool_]) -> list[int]:
    ends = np.append(begins[1:], True)
    at = np.where(ends, np.arange(len(begins)), len(begins))
    found: list[int] = np.minimum.accumulate(at[::-1])[::-1].tolist()
    return found


def _spread(hits: Sequence[Hit], laid: Laid) -> list[float]:
    """Scores, less for a hit whose page or section has had better ones, unless it is little."""
    seen: dict[Region, int] = {}
    scores = []
    for hit in hits:
        region = region_of(hit.passage)
        before = seen.get(region, 0)
        seen[region] = before + 1
        is_little = laid.little[laid.index[hit.passage.at]]
        scores.append(hit.score - (0.0 if is_little else min(AGAIN * before, AGAIN_AT_MOST)))
    return scores


def _relative(scores: Sequence[float]) -> list[float]:
    """From 1 for the best to a little above 0 for the worst."""
    best, worst = max(scores), min(scores)
    return [(score - worst + 1e-6) / (best - worst + 1e-6) for score in scores]
