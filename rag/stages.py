"""How long each stage of an answer took, and what did not go as it should."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``began`` to ``ended``, by time.perf_counter."""

    name: str
    began: float
    ended: float


class Stages:
    """Seconds of each stage, in the order in which they ended; ``total`` runs from the beginning. A stage that was
    gone through several times has as many ``intervals``. ``notes`` are for the receipt."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.intervals: list[Interval] = []
        self.notes: list[str] = []
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """It ends now."""
        now = time.perf_counter()
        self.intervals.append(Interval(name, now - seconds, now))
        self._seconds[name] = round(self._seconds.get(name, 0.0) + seconds, 4)

    def snapshot(self) -> dict[str, float]:
        return {**self._seconds, "total": round(time.perf_counter() - self.began, 4)}
