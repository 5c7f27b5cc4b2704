"""Clients of a real service that wait for a model server which is at work, and go away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from house import houses
from service import Service
from stub_llm import StubLlm, stub_llm

pytestmark = [pytest.mark.process, pytest.mark.models]

REPLY = "The pump of station 3 is checked every 3 weeks [1]."
ASKED = {"question": "How often is the pump of station 3 checked?", "stream": True}


@pytest.fixture
def llm() -> Iterator[StubLlm]:
    with stub_llm(REPLY) as server:
        yield server


@pytest.fixture
def house(llm: StubLlm, tmp_path: Path) -> Iterator[Service]:
    """A service that answers one question at a time and lets one more wait."""
    (tmp_path / "station.md").write_text("# Station 3\n\nThe pump of station 3 is checked every 3 weeks.\n")
    with houses(tmp_path, llm.url) as make:
        service = make(OPENBOOK_ANSWERS_AT_ONCE="1", OPENBOOK_QUEUE_LIMIT="1")
        service.run("ingest", str(tmp_path / "station.md"))
        yield service.start().wait_ready()
        assert service.stop() == 0


@contextmanager
def asking(house: Service) -> Iterator[tuple[httpx.Response, Iterator[str]]]:
    """A question whose client goes away at the end of the block, and the names of its events."""
    with httpx.stream("POST", f"{house.url}/v1/answer", json=ASKED, timeout=60) as answer:
        names = (line[7:] for line in answer.iter_lines() if line.startswith("event: "))
        if answer.status_code == 200:
            assert next(names) == "reading"
        yield answer, names


def test_clients_that_go_away_leave_the_queue_and_end_the_generation(house: Service, llm: StubLlm) -> None:
    llm.go_on.clear()
    with ExitStack() as last:
        with asking(house) as (_, answering):
            assert next(answering) == "piece"
            with asking(house) as (_, waiting):
                assert next(waiting) == "waiting"
                with asking(house) as (refused, _):
                    assert refused.status_code == 429
                    assert int(refused.headers["retry-after"]) >= 1
                    assert json.loads(refused.read())["code"] == "Overloaded"
                assert next(waiting) == "waiting"  # each second
            # The one that waited has gone, and another may wait.
            _, patient = last.enter_context(asking(house))
            assert next(patient) == "waiting"
            assert not llm.gone.is_set()
        assert llm.gone.wait(10), "the model went on for nobody"
        llm.go_on.set()
        assert list(dict.fromkeys(patient)) == ["waiting", "piece", "answer"]
