"""High and low waters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal

from tidestats.records import Record

# Two high waters are about 12 h 25 min apart; anything closer than this is a wave or a ship.
MIN_SEPARATION = timedelta(hours=4)


@dataclass(frozen=True)
class Extreme:
    kind: Literal["high", "low"]
    record: Record


def extremes(records: Sequence[Record]) -> list[Extreme]:
    """High and low waters in order of time, alternating.

    A record counts if no other within MIN_SEPARATION is higher (or lower). The first and the last record never
    count, since nobody knows what lies beyond them.
    """
    found: list[Extreme] = []
    for record in records[1:-1]:
        near = [other.level for other in records if abs(other.time - record.time) <= MIN_SEPARATION]
        kind: Literal["high", "low"] | None = None
        if record.level == max(near):
            kind = "high"
        elif record.level == min(near):
            kind = "low"
        if kind and (not found or found[-1].kind != kind):
            found.append(Extreme(kind, record))
    return found


def tidal_range(records: Sequence[Record]) -> float:
    """Mean difference between neighbouring high and low waters, in metres; 0.0 with fewer than two."""
    levels = [extreme.record.level for extreme in extremes(records)]
    steps = [abs(after - before) for before, after in pairwise(levels)]
    return round(sum(steps) / len(steps), 3) if steps else 0.0
