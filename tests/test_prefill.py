"""The cost model: what is fitted, what is solved for, and how it follows a machine."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.prefill import LATE, Cost, Observed, Sample, Spread, fit

TRUE = Cost(fixed=0.05, per_token=1.5e-3, per_pair=4e-7, per_cached=2e-5)
LENGTHS = (64, 128, 256, 512, 1000, 2000, 4000, 8000)
SHARES = (0.0, 0.5, 0.9)


def samples(
    cost: Cost, seconds: Callable[[float], float] = lambda exact: exact, repeats: int = 1
) -> list[Sample]:
    pairs = [(n - int(n * share), int(n * share)) for n in LENGTHS for share in SHARES]
    return [Sample(new, c, seconds(cost.seconds(new, c))) for new, c in pairs for _ in range(repeats)]


def error(cost: Cost, new: int, cached: int) -> float:
    return abs(cost.seconds(new, cached) / TRUE.seconds(new, cached) - 1)


def test_attention_is_counted_once_however_a_prompt_is_cut() -> None:
    cost = Cost(0, 1e-3, 1e-6)
    pieces = cost.seconds(1000, 0) + cost.seconds(1000, 1000) + cost.seconds(2000, 2000)
    assert pieces == pytest.approx(cost.seconds(4000, 0))


def test_exact_observations_give_the_cost_back() -> None:
    found = fit(samples(TRUE))
    assert found.fixed == pytest.approx(TRUE.fixed, rel=1e-4)
    assert found.per_token == pytest.approx(TRUE.per_token, rel=1e-4)
    assert found.per_pair == pytest.approx(TRUE.per_pair, rel=1e-4)
    assert found.per_cached == pytest.approx(TRUE.per_cached, rel=1e-3)
    assert found.spread.samples == 24
    assert found.spread.p90 < 1e-3
    assert found.sure


def test_noise_and_outliers_hardly_move_it_and_show_in_its_spread() -> None:
    rng = random.Random(0)

    def noisy(exact: float) -> float:
        delayed = rng.uniform(2, 6) if rng.random() < 0.1 else 1.0
        return exact * rng.lognormvariate(0, 0.1) * delayed

    found = fit(samples(TRUE, noisy, repeats=3))
    assert (
        max(error(found, n - int(n * s), int(n * s)) for n in (700, 3000, 6000) for s in (0, 0.3, 0.8)) < 0.1
    )
    assert 0.04 < found.spread.median < 0.12
    assert 1.1 < found.spread.slow < 4


def test_twice_as_long_and_half_as_long_weigh_alike() -> None:
    rows = [s for factor in (0.5, 1.0, 2.0) for s in samples(TRUE.scaled(factor))]
    assert error(fit(rows), 3000, 1000) < 0.01


def test_left_out_samples_tell_when_the_shape_is_wrong() -> None:
    odd = [Sample(n, 0, 1.0 + n % 7) for n in range(1000, 1100)]
    assert fit(odd).spread.p90 > 0.3
    assert not fit(odd).sure


def test_new_tokens_of_one_length_tell_no_fixed_part() -> None:
    """As benchmarks that read 2048 tokens at several depths: longer prompts are made of such pieces."""
    found = fit(
        [Sample(2048, depth, Cost(0, 1e-3, 1e-6).seconds(2048, depth)) for depth in range(0, 32768, 4096)]
    )
    assert (found.fixed, found.per_cached) == (0, 0)
    assert found.seconds(8192) == pytest.approx(Cost(0, 1e-3, 1e-6).seconds(8192), rel=1e-3)


def test_without_samples_nothing_is_fitted() -> None:
    with pytest.raises(ValueError, match="no samples"):
        fit([])


def test_one_sample_is_a_cost_that_is_not_sure() -> None:
    found = fit([Sample(1000, 0, 2.0)])
    assert found.seconds(1000) == pytest.approx(2.0)
    assert not found.sure


coefficients = st.builds(
    Cost,
    st.floats(0, 2),
    st.floats(0, 1e-2),
    st.floats(0, 1e-5),
    st.floats(0, 1e-4),
)
tokens = st.integers(0, 300_000)


@given(coefficients, st.floats(0, 1000), tokens, st.integers(0, 300_000))
def test_what_is_affordable_is_the_inverse_of_seconds(
    cost: Cost, target: float, cached: int, most: int
) -> None:
    found = cost.within(target, cached, most)
    assert 0 <= found <= most
    if found:
        assert cost.seconds(found, cached) <= target
    if found < most and cost.seconds(1, cached) <= target:
        assert cost.seconds(found + 1, cached) >= target * (1 - 1e-9)


@given(coefficients, tokens, tokens, st.floats(0, 100), st.floats(0, 100))
def test_more_work_takes_no_less_and_more_time_affords_no_less(
    cost: Cost, a: int, b: int, first: float, second: float
) -> None:
    less, more = sorted((a, b))
    assert cost.seconds(less, 100) <= cost.seconds(more, 100)
    assert cost.seconds(100, less) <= cost.seconds(100, more)
    assert cost.affordable(min(first, second), less) <= cost.affordable(max(first, second), less)
    assert cost.affordable(first, more) <= cost.affordable(first, less)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**5), st.integers(0, 10**5), st.floats(1e-3, 1e3)), min_size=1, max_size=12
    )
)
def test_whatever_is_observed_no_coefficient_is_negative(observed: list[tuple[int, int, float]]) -> None:
    cost = fit([Sample(*each) for each in observed])
    assert min(cost.fixed, cost.per_token, cost.per_pair, cost.per_cached) >= 0
    assert cost.seconds(1000, 1000) >= 0


def test_nine_of_ten_requests_start_in_time_on_a_noisy_machine() -> None:
    rng = random.Random(2)

    def noisy(exact: float) -> float:
        return exact * rng.lognormvariate(0, 0.25)

    cost = fit(samples(TRUE, noisy, repeats=4))
    late = 0
    for _ in range(1000):
        target, cached = rng.uniform(0.5, 8), rng.randrange(0, 2000)
        late += noisy(TRUE.seconds(cost.affordable(target, cached), cached)) > LATE * target
    assert late <= 100


def test_a_machine_without_noise_needs_no_margin() -> None:
    assert Cost(0, 1e-3, 0, spread=Spread(slow=1.05)).affordable(1.0) == 1000
    assert Cost(0, 1e-3, 0, spread=Spread(slow=2.2)).affordable(1.0) == 500


def follow(
    observed: Observed, rng: random.Random, count: int, factor: float = 1.0, cost: Cost = TRUE
) -> list[float]:
    """The relative errors of what was predicted before each request."""
    errors = []
    for _ in range(count):
        new, cached = rng.randrange(50, 4000), rng.randrange(0, 4000)
        took = cost.seconds(new, cached) * factor * rng.lognormvariate(0, 0.05)
        if now := observed.cost:
            errors.append(abs(now.seconds(new, cached) / took - 1))
        observed.add(Sample(new, cached, took))
    return errors


def test_a_machine_that_becomes_twice_as_slow_is_followed() -> None:
    rng, calibration = random.Random(3), samples(TRUE)
    observed = Observed(fit(calibration), calibration)
    follow(observed, rng, 40)
    follow(observed, rng, 8, factor=2)
    assert max(follow(observed, rng, 60, factor=2)) < 0.35
    follow(observed, rng, 8)
    assert max(follow(observed, rng, 60)) < 0.35


def test_one_slow_request_changes_nothing() -> None:
    observed = Observed(TRUE)
    observed.add(Sample(1000, 0, 1000.0))
    assert observed.cost == TRUE


def test_a_shape_that_is_not_so_is_mended() -> None:
    rng = random.Random(4)
    observed = Observed(Cost(2.0, 1e-4, 0))
    follow(observed, rng, 64)
    assert sorted(follow(observed, rng, 50))[45] < 0.2


def test_requests_alone_show_a_cost_once_their_lengths_differ() -> None:
    rng, observed = random.Random(5), Observed(None)
    for _ in range(20):
        observed.add(Sample(500, 0, TRUE.seconds(500)))
    assert observed.cost is None
    follow(observed, rng, 60)
    now = observed.cost
    assert now is not None
    assert error(now, 2000, 1000) < 0.1
    assert now.spread.samples > 0
    assert now.sure


def test_what_was_predicted_and_came_otherwise_makes_it_less_sure() -> None:
    rng, observed = random.Random(6), Observed(TRUE)
    for _ in range(60):
        new = rng.randrange(50, 4000)
        observed.add(Sample(new, 0, TRUE.seconds(new) * rng.choice((0.4, 1.0, 2.5))))
    now = observed.cost
    assert now is not None
    assert not now.sure
    assert now.spread.slow > 1.5


def test_it_says_how_sure_it_is() -> None:
    assert TRUE.describe() == "not measured"
    told = Cost(0, 1, 0, spread=Spread(40, 0.041, 0.118, 1.1, 64, 8000)).describe()
    assert told == "error 4% (median), 12% (p90) over 40 samples from 64 to 8,000 tokens"
