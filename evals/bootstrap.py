"""How far a figure may be chance: percentile bootstrap over the cases it was measured on. Pure.

A figure is a sum of values over a sum of weights, one pair for each case: a mean where all weights are 1, a share
such as precision where they count what was tried. Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
_AT_ONCE = 100  # draws: bounds the memory

Score = tuple[float, float]  # a value and its weight
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """``low`` and ``high`` bound 95 % of what other cases of the same kind might have given. ``cases`` counts
    those that have weight."""

    value: float
    low: float
    high: float
    cases: int


def figure(scores: Sequence[Score], seed: int) -> Figure | None:
    """None where no case has weight."""
    pairs = np.asarray(scores, dtype=np.float64).reshape(-1, 2)
    if not pairs[:, 1].sum():
        return None
    low, high = _interval(_ratio(_resampled(pairs, seed)))
    return Figure(float(_ratio(pairs.sum(axis=0))), low, high, int(np.count_nonzero(pairs[:, 1])))


def difference(before: Sequence[Score], after: Sequence[Score], seed: int) -> Figure | None:
    """Of ``after`` to ``before``, which are of the same cases in the same order; each draw takes the same cases
    of both, so that what makes a case hard for both does not blur the difference."""
    pairs = np.hstack([np.asarray(each, dtype=np.float64).reshape(-1, 2) for each in (before, after)])
    if not (pairs[:, 1].sum() and pairs[:, 3].sum()):
        return None
    sums = pairs.sum(axis=0)
    drawn = _resampled(pairs, seed)
    low, high = _interval(_ratio(drawn[:, 2:]) - _ratio(drawn[:, :2]))
    value = float(_ratio(sums[2:]) - _ratio(sums[:2]))
    return Figure(value, low, high, int(np.count_nonzero(pairs[:, 1] + pairs[:, 3])))


def _ratio(sums: Array) -> Array:
    """NaN where a draw has no weight."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Array = sums[..., 0] / sums[..., 1]
    return ratio


def _resampled(rows: Array, seed: int) -> Array:
    """The sums of the columns in each of ``DRAWS`` samples of the rows with replacement, ``(DRAWS, columns)``."""
    random = np.random.default_rng(seed)
    drawn = [
        rows[random.integers(0, len(rows), (_AT_ONCE, len(rows)))].sum(axis=1)
        for _ in range(DRAWS // _AT_ONCE)
    ]
    return np.concatenate(drawn)


def _interval(values: Array) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
