from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fakes import document, passages
from ingest.report import FileResult, Found, Progress, Report
from rag import wire
from rag.types import (
    Answer,
    Citation,
    Document,
    Drop,
    Hit,
    Miss,
    Passage,
    Place,
    Read,
    Receipt,
    Span,
    Usage,
)

COUNT = st.integers(0, 10**12)
SECONDS = st.dictionaries(st.text(max_size=5), st.floats(0, 1e6), max_size=3)
# What the types alone do not say: a span goes forward, times and scores are numbers.
st.register_type_strategy(Span, st.tuples(COUNT, COUNT).map(lambda pair: Span(min(pair), max(pair))))
st.register_type_strategy(Receipt, st.builds(Receipt, seconds=SECONDS))
st.register_type_strategy(Report, st.builds(Report, seconds=SECONDS))
st.register_type_strategy(Hit, st.builds(Hit, score=st.floats(0, 1)))
st.register_type_strategy(Miss, st.builds(Miss, score=st.floats(0, 1)))

KINDS = (
    Answer,
    Hit,
    Report,
    Found,
    Progress,
    Receipt,
    Citation,
    Document,
    Passage,
    Read,
    Drop,
    Usage,
    Place,
    FileResult,
)


def through_json(value: object) -> object:
    return wire.load(type(value), json.loads(json.dumps(wire.dump(value))))


@pytest.mark.parametrize("kind", KINDS)
def test_any_value_comes_back_as_it_was(kind: type) -> None:
    @settings(max_examples=5)
    @given(st.from_type(kind))
    def check(value: object) -> None:
        assume("nan" not in repr(value))  # which equals nothing, itself included
        assert through_json(value) == value

    check()


def test_a_whole_answer() -> None:
    citation = Citation(
        1,
        Span(0, 9),
        "id",
        "file:///a",
        "Ä",
        Span(5, 9),
        Place(1, 2, page=3),
        "größer 🌊\n",
        ("A", "B"),
        "exact",
        "mark",
    )
    drop = Drop("id", "t", (1, 2), 30, "over the token budget")
    receipt = Receipt(
        collection="default",
        documents=1,
        passages=2,
        hits=3,
        read=(Read(1, "id", "file:///a", "t", Place(1, 1, sheet="Costs"), Span(0, 9), 9),),
        dropped=(drop,),
        context_tokens=9,
        budget_tokens=100,
        model="m",
        usage=Usage(50, 5, None),
        seconds={"total": 0.25},
        warnings=("careful",),
    )
    answer = Answer("q", "It is so.", True, None, (citation,), (Span(0, 0),), "stop", receipt)
    for each in (
        answer,
        replace(answer, receipt=replace(receipt, usage=None)),
        replace(answer, citations=()),
    ):
        assert through_json(each) == each
    data = wire.dump(answer)
    assert data["citations"][0]["place"] == {"line_start": 1, "line_end": 2, "page": 3, "sheet": None}
    assert data["receipt"]["usage"]["cached"] is None, "not told is not zero"
    assert data["citations"][0]["span"] == {"start": 5, "end": 9}


def test_a_hit_keeps_the_passage_word_for_word() -> None:
    doc = document("file:///a b.txt")
    hit = Hit(doc, passages(doc, " \n\tx\u2028\x00 ")[0], 0.1)
    assert through_json(hit) == hit


@pytest.mark.parametrize(
    "data",
    [
        {},
        None,
        [],
        {"start": 3, "end": 1},
        {"start": -1, "end": 1},
        {"start": "x", "end": 1},
        {"start": 1},
    ],
)
def test_what_is_no_span_is_refused(data: object) -> None:
    with pytest.raises(ValidationError):
        wire.load(Span, data)


def test_words_that_are_not_among_the_known_are_refused() -> None:
    data = wire.dump(FileResult("a", "file:///a", "added"))
    assert wire.load(FileResult, data).status == "added"
    with pytest.raises(ValidationError):
        wire.load(FileResult, data | {"status": "lost"})


def test_a_field_from_a_newer_version_does_not_disturb() -> None:
    assert wire.load(Span, {"start": 1, "end": 2, "new": 3}) == Span(1, 2)
