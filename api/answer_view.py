"""An answer on the terminal as it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rag.admission import Waiting
from rag.answer import Event, Piece, Reading
from rag.terminal import err, literal, out


@dataclass(frozen=True, slots=True)
class View:
    """What the terminal shows while an answer is made: ``told`` what goes on, ``show`` each event."""

    told: Callable[[str], None]
    show: Callable[[Event], None]


@contextmanager
def answer_view(*, quiet: bool) -> Iterator[View]:
    reading = "reading"
    with err.status(reading, spinner="dots") as spinner:

        def show(event: Event) -> None:
            nonlocal reading
            if isinstance(event, Reading):
                receipt = event.receipt
                reading = f"{receipt.model} is reading {receipt.context_tokens:,} tokens"
                told(reading)
                return
            if isinstance(event, Waiting):
                told(_waiting(event) if event.position else reading)
                return
            spinner.stop()
            if quiet:
                return
            if isinstance(event, Piece):
                out.print(event.text, end="", markup=False)
            else:  # a stream that brought no piece has not shown its text yet
                out.print("" if event.receipt.usage else event.text, markup=False)

        def told(text: str) -> None:
            spinner.update(literal(text))

        yield View(told, show)


def _waiting(at: Waiting) -> str:
    return f"waiting: {ordinal(at.position)}, about {at.start_s:,.0f} s"


def ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
