"""The Python client against the service on a real socket: both kinds of it, typed values and typed errors."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import isfunction, signature
from pathlib import Path
from typing import TypeVar

import pytest

from fake_engine import REPLY, fake_engine, ingested
from ingest.workers import InProcess
from live import Live, live
from openbook.client import (
    Answer,
    AsyncClient,
    Client,
    Filter,
    JobView,
    Piece,
    Reading,
    asynchronous,
    blocking,
    calls,
)
from rag.answers import FILE, Answers
from rag.compose import Engine
from rag.errors import CollectionNotFound, ConfirmationNeeded, RagError, ServiceUnreachable

pytestmark = pytest.mark.process

T = TypeVar("T")
QUESTION = "How long does the battery of the gauge last?"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)
    (tmp_path / "gauge.md").write_text("The battery of the gauge lasts 400 days.")
    with fake_engine(tmp_path / "data") as engine:
        engine.rag.answers = Answers(tmp_path / FILE, most=10)
        ingested(engine, tmp_path / "gauge.md", collection="team")
        yield engine
        engine.rag.answers.close()


@pytest.fixture
async def service(engine: Engine) -> AsyncIterator[Live]:
    async with live(engine) as service:
        yield service


async def blockingly(service: Live, work: Callable[[Client], T]) -> T:
    def with_client() -> T:
        with Client.local(service.data) as client:
            return work(client)

    return await asyncio.to_thread(with_client)


async def test_asked_and_looked_up(service: Live) -> None:
    def work(client: Client) -> None:
        answer = client.ask(QUESTION, "team", filter=Filter(types=("md",)))
        assert (answer.text, answer.citations[0].quote in "The battery of the gauge lasts 400 days.") == (
            REPLY,
            True,
        )
        reading, *pieces, last = client.stream(QUESTION, "team")
        assert isinstance(reading, Reading)
        assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == REPLY
        assert isinstance(last, Answer)
        assert client.answer(answer.id).answer == answer
        assert [each.id for each in client.answers("team").answers] == [last.id, answer.id]
        assert client.search("battery", "team", limit=1)[0].passage.text.startswith("The battery")
        talk = client.begin_conversation()
        client.ask(QUESTION, "team", conversation=talk.id)
        assert [turn.answer.text for turn in client.conversation(talk.id).turns] == [REPLY]
        assert client.conversations()[0].turns == 1
        client.delete_conversation(talk.id)
        assert client.conversations() == ()

    await blockingly(service, work)


async def test_files_are_sent_followed_and_fetched(service: Live, tmp_path: Path) -> None:
    sent: list[tuple[int, int]] = []
    large = tmp_path / "large.md"
    large.write_text("The tide comes twice a day.\n" * 20_000)

    def work(client: Client) -> None:
        files: list[Path | tuple[str, Path]] = [large, ("notes/gauge.md", tmp_path / "gauge.md")]
        job = client.upload(files, "new", progress=lambda *at: sent.append(at), key="once")
        *_, ended = client.follow(job.job.id)
        assert isinstance(ended, JobView)
        assert (ended.job.state, ended.job.counts) == ("done", {"added": 2})
        assert client.upload(files, "new", key="once").job.id == job.job.id
        assert [each.job.id for each in client.jobs()] == [job.job.id]
        page = client.documents("new", name="large", limit=1)
        assert (page.total, page.documents[0].name) == (1, "uploads/large.md")
        id_ = page.documents[0].id
        assert client.original(id_, "new") == large.read_bytes()
        assert client.document(id_, "new") == page.documents[0]
        assert client.delete_document(id_, "new").files == ("uploads/large.md",)

    await blockingly(service, work)
    total = large.stat().st_size + (tmp_path / "gauge.md").stat().st_size
    done = [done for done, _ in sent]
    assert (done == sorted(done), sent[-1][1]) == (True, total)
    assert len(done) > 4
    assert total in done


async def test_collections_are_made_changed_and_deleted(service: Live) -> None:
    def work(client: Client) -> None:
        assert client.create_collection("other").documents == 0
        assert client.change_collection("other", name="others", target_ttft_ms=900).target_ttft_ms == 900
        assert [each.collection for each in client.collections()] == ["others", "team"]
        with pytest.raises(ConfirmationNeeded) as asked:
            client.delete_collection("team")
        assert asked.value.would_be_lost == {"documents": 1, "passages": 1, "uploaded_files": 0}
        client.delete_collection("team", confirm=asked.value.token)
        with pytest.raises(CollectionNotFound, match="team") as missing:
            client.collection("team")
        assert missing.value.hint

    await blockingly(service, work)


async def test_the_same_on_an_event_loop(service: Live, tmp_path: Path) -> None:
    async with AsyncClient(service.url, service.token) as client:
        assert (await client.ask(QUESTION, ["team"])).text == REPLY
        events = [event async for event in client.stream(QUESTION, "team")]
        assert isinstance(events[-1], Answer)
        job = await client.upload([tmp_path / "gauge.md"], "new")
        (ended,) = [event async for event in client.follow(job.job.id) if isinstance(event, JobView)][-1:]
        assert ended.job.counts == {"added": 1}
        assert (await client.documents("new")).total == 1
        with pytest.raises(CollectionNotFound):
            [event async for event in client.stream(QUESTION, "absent")]


async def test_who_may_not_and_who_is_not_there(service: Live) -> None:
    async with AsyncClient(service.url) as stranger:
        with pytest.raises(RagError, match="token"):
            await stranger.create_collection("x")
    async with AsyncClient("http://127.0.0.1:9") as nobody:
        with pytest.raises(ServiceUnreachable):
            await nobody.collections()


def test_both_kinds_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(blocking.Client) == public(asynchronous.AsyncClient)
    made = {
        one.__name__ for one in vars(calls).values() if isfunction(one) and one.__module__ == calls.__name__
    }
    assert {name for name in made if not name.startswith("_")} <= public(blocking.Client)


def test_methods_are_described_where_their_calls_are_made() -> None:
    for kind in (Client, AsyncClient):
        assert str(signature(kind.jobs)) == "(self, /, limit: 'int' = 50)"
        assert list(signature(kind.ask).parameters) == ["self", "question", "collection", "key", "options"]
        assert (kind.ask.__name__, kind.answer.__doc__) == ("ask", "A past answer, by its id.")


def test_it_is_imported_without_what_the_service_needs() -> None:
    code = "import sys, openbook.client; print(*sorted(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"torch", "numpy", "fastapi", "transformers", "qdrant_edge", "qdrant_client", "typer", "openvino"}
    assert not heavy & set(modules)
