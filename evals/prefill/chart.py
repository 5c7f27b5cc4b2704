"""Lines over axes that begin at zero, ready to be drawn. Pure; page.html.j2 draws them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 64, 150, 16, 44
# Okabe and Ito's, which most people can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STEPS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """Points by ``x``; ``labels`` stand at them, where there are any."""

    name: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something is drawn, in pixels, and what it says."""

    x: float
    y: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    name: str
    colour: str
    marks: Sequence[Mark]

    @property
    def path(self) -> str:
        return " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    x: str
    y: str
    lines: Sequence[Line]

    @property
    def drawn(self) -> Iterator[Drawn]:
        for at, line in enumerate(self.lines):
            labels = line.labels or [""] * len(line.points)
            marks = [Mark(*self._at(*p), text=label) for p, label in zip(line.points, labels, strict=True)]
            yield Drawn(line.name, COLOURS[at % len(COLOURS)], marks)

    @property
    def x_ticks(self) -> Iterator[Mark]:
        for value in ticks(self._most(0)):
            yield Mark(self._at(value, 0)[0], HEIGHT - BOTTOM, f"{value:,g}")

    @property
    def y_ticks(self) -> Iterator[Mark]:
        for value in ticks(self._most(1)):
            yield Mark(LEFT, self._at(0, value)[1], f"{value:,g}")

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across, up = x / ticks(self._most(0))[-1], y / ticks(self._most(1))[-1]
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def _most(self, axis: int) -> float:
        return max((point[axis] for line in self.lines for point in line.points), default=0.0)


def ticks(most: float) -> list[float]:
    """From 0 to ``most`` or beyond, in steps of 1, 2 or 5 times a power of ten."""
    rough = (most or 1.0) / _STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough * (1 - 1e-9))
    return [round(step * n, 12) for n in range(math.ceil(most / step - 1e-9) + 1 if most else 2)]
