"""Surge states, as the runbook defines them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from tidestats.records import Record


class State(IntEnum):
    CALM = 0
    WATCH = 1
    ALARM = 2


@dataclass(frozen=True)
class Thresholds:
    """Levels in metres above chart datum; the defaults are those of Skerrow Harbour."""

    watch: float = 3.40
    alarm: float = 3.85
    # A state is left only this far below its threshold, and only after so many readings in a row.
    hysteresis: float = 0.10
    patience: int = 3


SKERROW_HARBOUR = Thresholds()


def states(
    records: Iterable[Record], thresholds: Thresholds = SKERROW_HARBOUR
) -> Iterator[tuple[Record, State]]:
    """Each usable record with the state after it. A rise takes effect at once, a fall after ``patience``."""
    state, below = State.CALM, 0
    for record in records:
        if not record.usable:
            continue
        reached = _reached(record.level, thresholds)
        if reached >= state:
            state, below = reached, 0
        elif record.level <= _threshold(state, thresholds) - thresholds.hysteresis:
            below += 1
            if below >= thresholds.patience:
                state, below = reached, 0
        else:
            below = 0
        yield record, state


def _reached(level: float, thresholds: Thresholds) -> State:
    if level >= thresholds.alarm:
        return State.ALARM
    return State.WATCH if level >= thresholds.watch else State.CALM


def _threshold(state: State, thresholds: Thresholds) -> float:
    return thresholds.alarm if state is State.ALARM else thresholds.watch
