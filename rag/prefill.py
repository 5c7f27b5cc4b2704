"""What prefill costs: seconds to the first token, from the tokens to read and those in the prefix cache. Pure.

A token that is read costs the same work for the weights, and attention to each token before it. So a prompt whose
first ``cached`` tokens are in the cache and whose other ``new`` tokens are not takes

    fixed + per_token * new + per_pair * (new * cached + new**2 / 2) + per_cached * cached

seconds, the last for sending, hashing and looking up what is not read again. The coefficients are fitted to
observations and are never negative, so that seconds grow with both counts and a budget can be solved for. Pieces in
which a server prefills (max_num_batched_tokens) and blocks of its cache change nothing in this: the pairs of the
pieces add up to the same, and what a piece costs by itself becomes part of each token's cost.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LATE = 1.1  # a request that starts within so many times its target is in time
MOST = 10**9  # tokens: no limit
_INSTANT = 1e-9  # seconds: what is predicted as nothing

_FOLDS = 10
_ROUNDS = 20  # of reweighting; it settles in fewer than ten
_HUBER = 1.345  # robust standard deviations beyond which an observation loses weight
_VARIED = 1.5  # longest by shortest, below which lengths are one length

WINDOW = 64  # observed requests that are remembered
_JUDGED = 32  # of them that say how sure it is
_RECENT = 9  # of them that say how fast the machine is now
_REFIT_EVERY = 16
_ENOUGH = 8  # observations that say something of others
_TOLD_APART = 4  # long by short requests, from which on a first shape is believed


@dataclass(frozen=True, slots=True)
class Sample:
    """One observed prefill: tokens read, tokens before them that were cached, seconds to the first token (above 0)."""

    new: int
    cached: int
    seconds: float

    @property
    def prompt(self) -> int:
        return self.new + self.cached


@dataclass(frozen=True, slots=True)
class Spread:
    """How observations lie around a prediction. ``median`` and ``p90`` are of the relative error, ``slow`` is the
    ratio of observed to predicted seconds that nine of ten stay within; of prompts from ``shortest`` to ``longest``
    tokens."""

    samples: int = 0
    median: float = 0.0
    p90: float = 0.0
    slow: float = 1.0
    shortest: int = 0
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Coefficients in seconds, none negative."""

    fixed: float
    per_token: float
    per_pair: float
    per_cached: float = 0.0
    spread: Spread = Spread()

    def seconds(self, new: int, cached: int = 0) -> float:
        """What half of such requests take at most."""
        pairs = new * cached + new * new / 2
        return self.fixed + self.per_token * new + self.per_pair * pairs + self.per_cached * cached

    def affordable(self, target_s: float, cached: int = 0, most: int = MOST) -> int:
        """The most new tokens behind ``cached`` ones with which nine of ten requests start within LATE times the
        target, and half of them within it; 0 where none do. Never more than ``most``."""
        return self.within(target_s * min(1.0, LATE / self.spread.slow), cached, most)

    def within(self, seconds: float, cached: int = 0, most: int = MOST) -> int:
        """The most new tokens for which ``self.seconds`` gives no more than ``seconds``, or 0."""
        left = seconds - self.fixed - self.per_cached * cached
        if left <= 0 or most <= 0:
            return 0
        slope = self.per_token + self.per_pair * cached
        # The root of per_pair/2 n² + slope n = left, in the form that does not cancel where per_pair is small.
        divisor = slope + math.sqrt(slope * slope + 2 * self.per_pair * left)
        found = min(most, int(2 * left / divisor)) if divisor * most > 2 * left else most
        while found > 0 and self.seconds(found, cached) > seconds:  # rounding: a token at most
            found -= 1
        return found

    def scaled(self, factor: float) -> Cost:
        """The same machine, so many times slower."""
        return replace(
            self,
            fixed=self.fixed * factor,
            per_token=self.per_token * factor,
            per_pair=self.per_pair * factor,
            per_cached=self.per_cached * factor,
        )

    @property
    def sure(self) -> bool:
        """Whether it predicts as well as targets need: nine of ten within a fifth."""
        return self.spread.samples >= _ENOUGH and self.spread.p90 <= 0.2

    def describe(self) -> str:
        spread = self.spread
        if not spread.samples:
            return "not measured"
        return (
            f"error {spread.median:.0%} (median), {spread.p90:.0%} (p90) over {spread.samples} samples "
            f"from {spread.shortest:,} to {spread.longest:,} tokens"
        )


def fit(samples: Sequence[Sample]) -> Cost:
    """The cost that observations show; how sure it is comes from observations left out of the fit, all of one
    (new, cached) together. A few that something else delayed hardly move it.

    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("no samples")
    cost = _solve(samples)
    return replace(
        cost, spread=spread(samples, _left_out(samples) or [cost.seconds(s.new, s.cached) for s in samples])
    )


def spread(samples: Sequence[Sample], predicted: Sequence[float]) -> Spread:
    ratios = np.array([s.seconds for s in samples]) / np.maximum(predicted, _INSTANT)
    errors = np.abs(1 / ratios - 1)  # relative to what was observed
    return Spread(
        samples=len(samples),
        median=float(np.median(errors)),
        p90=float(np.quantile(errors, 0.9)),
        slow=_nine_of_ten(ratios),
        shortest=min(s.prompt for s in samples),
        longest=max(s.prompt for s in samples),
    )


def _nine_of_ten(ratios: Floats) -> float:
    """What the next one stays within nine times of ten: a little above the ratios' own quantile, as they are few
    (the conformal quantile, https://arxiv.org/abs/2107.07511)."""
    share = min(1.0, math.ceil(0.9 * (len(ratios) + 1)) / len(ratios))
    return float(np.quantile(ratios, share, method="higher"))


def _left_out(samples: Sequence[Sample]) -> list[float]:
    """What each is predicted as by a fit to others; empty where the others would be too few."""
    groups = sorted({(s.prompt, s.cached) for s in samples})
    if len(groups) <= 4:
        return []
    fold = {group: at % _FOLDS for at, group in enumerate(groups)}
    folds = [fold[s.prompt, s.cached] for s in samples]
    fits = {
        left: _solve([s for s, of in zip(samples, folds, strict=True) if of != left]) for left in set(folds)
    }
    return [fits[of].seconds(s.new, s.cached) for s, of in zip(samples, folds, strict=True)]


def _solve(samples: Sequence[Sample]) -> Cost:
    """Non-negative least squares of the logarithm of predicted by observed seconds, under Huber's loss, so that half
    and twice as long weigh alike at every length and a few outliers little: linear ones, reweighted until they
    settle."""
    from scipy.optimize import nnls  # a fifth of a second to import, which few processes need

    work, used = _work(samples)
    observed = np.array([sample.seconds for sample in samples])
    weights, predicted = 1 / observed, observed
    for _ in range(_ROUNDS):
        columns = work * weights[:, None]
        norms = np.linalg.norm(columns, axis=0)
        norms[norms == 0] = 1.0
        found = nnls(columns / norms, observed * weights)[0] / norms
        before, predicted = predicted, np.maximum(work @ found, observed.min() / 100)
        if np.allclose(before, predicted, rtol=1e-6):
            break
        weights = _weights(np.log(predicted / observed), predicted)
    coefficients = np.zeros(4)
    coefficients[used] = found
    fixed, per_token, per_pair, per_cached = map(float, coefficients)
    return Cost(fixed, per_token, per_pair, per_cached)


def _weights(residuals: Floats, predicted: Floats) -> Floats:
    """Of ``predicted - observed``, under which its squares have the gradient of Huber's loss of ``residuals``."""
    size = np.abs(residuals)
    limit = _HUBER * 1.4826 * max(float(np.median(size)), 1e-3)
    huber = np.minimum(1.0, limit / np.maximum(size, limit))
    # residual / (1 - exp(-residual)) = log(p/o) p / (p - o), which is 1 where they are equal.
    steep = np.where(size < 1e-6, 1.0, residuals / -np.expm1(-np.where(size < 1e-6, 1.0, residuals)))
    weights: Floats = np.sqrt(huber * steep) / predicted
    return weights


def _work(samples: Sequence[Sample]) -> tuple[Floats, list[int]]:
    """The work of each sample by coefficient, ``(n, used)``, and which of the four coefficients are used: from new
    tokens of one length a fixed part cannot be told from a part per token, nor pairs from cached tokens."""
    new = np.array([sample.new for sample in samples], float)
    cached = np.array([sample.cached for sample in samples], float)
    columns = np.stack([np.ones(len(new)), new, new * cached + new * new / 2, cached], axis=1)
    used = [0, 1, 2, 3] if new.max() > _VARIED * new.min() else [1, 2]
    return columns[:, used], used


class Observed:
    """A cost that follows what requests take. The speed of a shared machine changes, the shape of its cost hardly: so
    the median of the latest ratios scales the cost at once, and now and then the shape is fitted anew to what is
    remembered and to the samples of the calibration, brought to today's speed. Not safe to use from threads.

    Without a ``base`` there is no cost until requests have shown one.
    """

    def __init__(self, base: Cost | None, calibration: Sequence[Sample] = ()) -> None:
        self._base = self._shape = base
        self._calibration = tuple(calibration)
        self._seen: deque[Sample] = deque(maxlen=WINDOW)
        self._told: deque[tuple[Sample, float]] = deque(maxlen=_JUDGED)  # with what had been predicted
        self._until_fit = _ENOUGH

    @property
    def cost(self) -> Cost | None:
        """How sure it is comes from what was predicted for the latest requests, once they are enough."""
        if self._shape is None:
            return None
        now = self._shape.scaled(self._pace(self._shape))
        if len(self._told) < _ENOUGH:
            return now
        samples, predicted = zip(*self._told, strict=True)
        return replace(now, spread=spread(samples, predicted))

    def add(self, sample: Sample) -> None:
        if cost := self.cost:
            self._told.append((sample, cost.seconds(sample.new, sample.cached)))
        self._seen.append(sample)
        self._until_fit -= 1
        if self._until_fit <= 0:
            self._refit()

    def _pace(self, cost: Cost) -> float:
        """Today's seconds by those of ``cost``: the median of the latest, where those that miss are as predicted, so
        that one slow request changes nothing."""
        latest = list(self._seen)[-_RECENT:]
        ratios = [
            sample.seconds / max(_INSTANT, cost.seconds(sample.new, sample.cached)) for sample in latest
        ]
        return float(np.median(ratios + [1.0] * (_RECENT - len(ratios))))

    def _refit(self) -> None:
        short, long = np.quantile([sample.new for sample in self._seen], (0.1, 0.9))
        if self._shape is None and long < _TOLD_APART * short:
            return  # requests of one length say nothing of others
        pace = self._pace(self._base) if self._base else 1.0
        then = [replace(sample, seconds=sample.seconds * pace) for sample in self._calibration]
        self._shape = _solve([*then, *self._seen])
        self._until_fit = _REFIT_EVERY
