"""What passes in openbook before a long request, measured over an engine of fakes and a model server that is a stub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from evals.engine import Bench
from evals.prefill.long import AGAIN, OTHER, UNMET, Stopwatch, long_contexts
from evals.prefill.serving import Serving
from evals.systems import Openbook
from fake_engine import fake_store
from fakes import FakeCounter, FakeEmbedder, rag_of
from rag.answer import Limits
from rag.models.vllm_client import ChatClient
from rag.settings import load_settings
from stub_llm import StubLlm, stub_llm

pytestmark = pytest.mark.process


def quiet(_what: str, _total: int) -> Callable[[int], None]:
    return lambda _count: None


@pytest.fixture
def server() -> Iterator[StubLlm]:
    with stub_llm("Nobody should read this.") as server:
        yield server


@pytest.fixture
def serving(server: StubLlm, tmp_path: Path) -> Iterator[Serving]:
    store = fake_store(tmp_path)
    client = ChatClient(lambda: server.url)
    rag = rag_of(store, FakeEmbedder(), FakeCounter(), client, Limits())
    settings = load_settings(llm_url=server.url, data_dir=tmp_path)
    yield Serving(settings, Bench(rag, None), Openbook(rag, {}))
    store.close()


async def test_each_repetition_asks_of_documents_of_its_own(serving: Serving, server: StubLlm) -> None:
    found = await long_contexts(serving, 2000, 2, 0, quiet)
    assert list(found) == ["long/0", "long/1"]
    assert [list(case) for case in found.values()] == [[UNMET, OTHER, AGAIN]] * 2
    assert all(0 < ms < 10_000 for case in found.values() for ms, _ in case.values())
    assert serving.bench.rag.store.names() == ["long-0", "long-1"]
    assert not server.talking.is_set(), "requests for text end at the stopwatch"


async def test_a_window_that_is_too_short_is_not_filled(serving: Serving) -> None:
    assert await long_contexts(serving, 8193, 1, 0, quiet) == {}
    assert await long_contexts(serving, 0, 1, 0, quiet) == {}
    assert serving.bench.rag.store.names() == []


async def test_what_is_no_request_for_text_passes_the_stopwatch() -> None:
    passed: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        passed.append(request.url.path)
        return httpx.Response(200)

    stopwatch = Stopwatch(httpx.MockTransport(answer))
    async with httpx.AsyncClient(transport=stopwatch, base_url="http://model/v1") as client:
        await client.get("/models")
        assert stopwatch.at == 0
        reply = await client.post("/completions", json={})
    assert passed == ["/v1/models"]
    assert stopwatch.at > 0
    assert reply.text.endswith("data: [DONE]\n\n")
