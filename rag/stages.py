"""How long each stage of an answer took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Seconds of each stage, in the order in which they ended; ``total`` runs from the beginning."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name] = round(self._seconds.get(name, 0.0) + seconds, 4)

    def snapshot(self) -> dict[str, float]:
        return {**self._seconds, "total": round(time.perf_counter() - self._began, 4)}
