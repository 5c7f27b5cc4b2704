"""Two model servers behind a real service: one goes away, the other stands in, the first comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from house import houses, until
from rag.served import RETRY_S
from service import Service
from stub_llm import StubLlm, stub_llm

pytestmark = [pytest.mark.process, pytest.mark.models]

ASKED = {"question": "How long does the battery last?"}


@pytest.fixture(scope="module")
def answering() -> Iterator[StubLlm]:
    with stub_llm("The large one says 400 days [1].") as server:
        yield server


@pytest.fixture(scope="module")
def deep() -> Iterator[StubLlm]:
    with stub_llm("The deep one says 400 days [1].") as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, answering: StubLlm, deep: StubLlm) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "manual.txt").write_text("The battery of the gauge lasts 400 days.\n")
    further = json.dumps({"deep": {"url": deep.url}})
    with houses(folder, answering.url) as make:
        running = make(OPENBOOK_MODELS=further, OPENBOOK_FALLBACK="deep").start().wait_ready()
        running.run("ingest", str(folder / "manual.txt"))
        yield running
        assert running.stop() == 0


def asked(service: Service, **more: object) -> Any:
    return httpx.post(f"{service.url}/v1/answer", json=ASKED | more, timeout=60).json()


def test_one_goes_away_is_replaced_and_comes_back(service: Service, answering: StubLlm) -> None:
    assert asked(service)["text"].startswith("The large one")
    assert service.json("ask", ASKED["question"], "--model", "deep")["receipt"]["answered_by"] == "deep"
    port = answering.server_address[1]
    answering.shutdown()
    answering.server_close()
    replaced = asked(service)
    assert replaced["text"].startswith("The deep one")
    (passed,) = replaced["receipt"]["passed_over"]
    assert passed["name"] == "answer"
    assert "cannot be reached" in passed["why"]
    refused = asked(service, model="answer")
    assert (refused["code"], refused["status"]) == ("ModelUnavailable", 503)
    assert httpx.get(f"{service.url}/readyz").status_code == 200
    assert [model["ok"] for model in service.json("status")["models"]] == [False, True]
    findings = json.loads(service.run("doctor", "--json", check=False).stdout)
    verdicts = {each["name"]: each["verdict"] for each in findings}
    assert (verdicts["model"], verdicts["model deep"]) == ("fail", "ok")
    with stub_llm("The large one is back [1].", port) as back:
        assert asked(service, model="answer")["text"].startswith("The large one is back")
        until(lambda: asked(service)["receipt"]["answered_by"] == "answer", 3 * RETRY_S)
        back.mute = True  # ends each reply before its first word
        assert said(service) == "The deep one says 400 days [1]."
        back.mute, back.cut = False, True
        until(lambda: said(service) == "The", 3 * RETRY_S)  # what has been said is not said again by another


def said(service: Service) -> str:
    """The pieces of a streamed answer, up to its end or its error."""
    with (
        httpx.Client(timeout=60) as client,
        connect_sse(client, "POST", f"{service.url}/v1/answer", json=ASKED | {"stream": True}) as source,
    ):
        events = [(event.event, json.loads(event.data)) for event in source.iter_sse()]
    return "".join(data["text"] for name, data in events if name == "piece")
