from __future__ import annotations

import pytest

from api.answer_view import answer_view, ordinal
from rag.admission import Waiting
from rag.answer import Reading
from rag.terminal import err
from rag.types import Receipt

READING = "stub is reading 900 tokens"


def test_the_place_in_the_line_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Spinner:
        def __enter__(self) -> Spinner:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, text: object) -> None:
            told.append(str(text))

    monkeypatch.setattr(err, "status", lambda *_, **__: Spinner())
    with answer_view(quiet=False) as view:
        view.show(Reading(Receipt("c", 1, 1, 1, (), (), 900, 1000, "stub", None)))
        view.show(Waiting(3, 12.4))
        view.show(Waiting(1, 0.2))
        view.show(Waiting(0, 0.0))
    assert told == [READING, "waiting: 3rd, about 12 s", "waiting: 1st, about 0 s", READING]


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (21, "21st"), (112, "112th")],
)
def test_ordinals(number: int, said: str) -> None:
    assert ordinal(number) == said
