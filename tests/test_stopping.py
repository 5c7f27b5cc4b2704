"""An end in order: what runs finishes or is told, what comes new is refused, nothing waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import httpx
import pytest

from fake_engine import engine_over, fake_store
from fakes import FakeGenerator, change
from rag.answer import Limits
from rag.compose import Engine
from rag.errors import ServiceStopping, TimedOut
from rag.question import Question
from rag.stopping import Stopping
from service_in_process import serving


async def counting(closed: list[bool]) -> AsyncGenerator[int, None]:
    try:
        yield 1
        yield 2
        await asyncio.Event().wait()
    finally:
        closed.append(True)


async def test_what_is_guarded_is_told_at_the_end_and_closed() -> None:
    stopping = Stopping()
    closed: list[bool] = []
    asyncio.get_running_loop().call_later(0.05, stopping.break_off)
    events = stopping.guarded(counting(closed))
    assert (await anext(events), await anext(events)) == (1, 2)
    with pytest.raises(ServiceStopping):
        await anext(events)
    assert closed == [True]
    with pytest.raises(ServiceStopping):
        await anext(stopping.guarded(counting(closed)))


async def test_a_deadline_is_told_apart_from_the_end_and_from_what_is_guarded() -> None:
    async def impatient() -> AsyncGenerator[int, None]:
        yield 1
        raise TimeoutError("of its own")

    stopping = Stopping()
    with pytest.raises(TimedOut, match="OPENBOOK_ANSWER_TIMEOUT_S"):
        async for _ in stopping.guarded(counting([]), 0.05):
            pass
    with pytest.raises(TimeoutError, match="of its own"):
        async for _ in stopping.guarded(impatient(), 5):
            pass
    assert [event async for event in stopping.guarded(some())] == [1, 2]


async def some() -> AsyncGenerator[int, None]:
    yield 1
    yield 2


async def test_it_is_drained_when_all_work_is_done() -> None:
    stopping = Stopping()
    told: list[bool] = []
    stopping.on_begin(lambda: told.append(stopping.begun))
    with stopping.work():
        draining = asyncio.create_task(stopping.drained(30))
        await asyncio.sleep(0.05)
        assert not draining.done()
        assert told == [True]
    await asyncio.wait_for(draining, 1)


# --- in the service ---------------------------------------------------------------------------------------------


class Endless(FakeGenerator):
    """Says a word, and no more."""

    async def stream(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
        async for delta in super().stream(*arguments, **options):  # type: ignore[arg-type]
            yield delta
            await asyncio.Event().wait()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    from fake_engine import ingested

    (tmp_path / "gauge.md").write_text("The battery of the gauge lasts 400 days.\n")
    store = fake_store(tmp_path)
    made = engine_over(store, tmp_path, Endless("It lasts 400 days [1]."))
    ingested(made, tmp_path / "gauge.md")
    yield made
    store.close()


async def test_a_stop_refuses_new_requests_and_tells_running_ones(engine: Engine) -> None:
    async with serving(engine) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            asked = {"question": "How long does the battery last?"}
            running = [
                asyncio.create_task(client.post("/v1/answer", json=asked | {"stream": stream}))
                for stream in (True, False)
            ]
            while engine.rag.serving.gate.requests < 2:  # noqa: ASYNC110 the gate has no event for this
                await asyncio.sleep(0.01)
            draining = asyncio.create_task(engine.rag.stopping.drained(0.3))
            await asyncio.sleep(0.05)
            refused = await client.post("/v1/answer", json=asked)
            assert (refused.status_code, refused.json()["code"]) == (503, "ServiceStopping")
            assert int(refused.headers["retry-after"]) > 0
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 503
            streamed, whole = await asyncio.gather(*running)
            assert "event: error" in streamed.text
            assert '"ServiceStopping"' in streamed.text
            assert (whole.status_code, whole.json()["code"]) == (503, "ServiceStopping")
            await draining
    assert engine.rag.serving.gate.requests == 0


async def test_a_whole_answer_takes_no_longer_than_it_may(engine: Engine) -> None:
    change(engine.rag, limits=Limits(answer_s=0.2))
    async with serving(engine) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            asked = {"question": "How long does the battery last?"}
            whole = await client.post("/v1/answer", json=asked)
            assert (whole.status_code, whole.json()["code"]) == (504, "TimedOut")
            streamed = await client.post("/v1/answer", json=asked | {"stream": True})
            assert '"TimedOut"' in streamed.text


async def test_a_store_that_does_not_answer_is_told_in_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(engine.rag, limits=Limits(answer_s=0.2))
    monkeypatch.setattr(engine.rag.store, "open", lambda *_arguments, **_named: time.sleep(1))
    with pytest.raises(TimedOut):
        await engine.rag.answer(Question("How long does the battery last?"))
