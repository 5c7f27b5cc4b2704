from __future__ import annotations

from dataclasses import replace

import pytest

from evals.mixed_load import LONG, SHORT, Load, simulate
from rag.admission import AHEAD_S, SHARE, Rules
from rag.prefill import Cost

# About 5,000 tokens/s at 2k and 3,000 at 128k; and what slices pay: each request, and what it finds in the cache.
SPARK = Cost(fixed=0.05, per_token=1.62e-4, per_pair=2.7e-9, per_cached=3e-7)


def test_the_server_is_like_a_spark() -> None:
    assert SPARK.seconds(SHORT) == pytest.approx(0.4, rel=0.05)
    assert SPARK.seconds(LONG) == pytest.approx(45, rel=0.05)


@pytest.mark.parametrize("longs", [1, 3])
def test_short_questions_start_soon_while_long_contexts_are_read_and_those_end_in_bounded_time(
    longs: int,
) -> None:
    load = Load(shorts_per_s=0.5, longs=longs, seconds=1800)
    alone = longs * SPARK.seconds(LONG)

    seen = simulate(load, SPARK, slice_s=0.7)
    assert seen.of_short(0.95) <= 1.5
    assert max(seen.long) <= 2 * alone
    assert sum(seen.long) / len(seen.long) <= 1.5 * alone

    without = simulate(load, SPARK, slice_s=None)
    assert without.of_short(0.5) >= 30
    assert without.of_short(0.95) >= 50


def test_more_short_questions_than_can_be_read_are_refused_and_leave_the_long_ones_their_share() -> None:
    """Those that wait are read before a long one that comes later has all of its share."""
    seen = simulate(Load(shorts_per_s=3.0, seconds=600), SPARK, slice_s=0.7)
    assert seen.refused > 600
    waiting_s = Rules().queue_limit * SPARK.seconds(SHORT)
    assert max(seen.long) <= (SPARK.seconds(LONG) * 1.2 + waiting_s) / SHARE
    assert max(seen.short) <= waiting_s / SHARE + AHEAD_S + 2 * 0.7


def test_the_same_seed_gives_the_same_times() -> None:
    load = Load(shorts_per_s=0.5, seconds=100)
    assert simulate(load, SPARK, 0.7) == simulate(load, SPARK, 0.7)
    assert simulate(load, SPARK, 0.7) != simulate(replace(load, seed=1), SPARK, 0.7)
