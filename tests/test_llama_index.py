"""LlamaIndex programs over the service: its retriever, its query engine, and its documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import Document, MetadataMode

from fake_engine import REPLY, fake_engine, ingested
from ingest.workers import InProcess
from live import Live, live
from openbook.client import Answer, Client, Filter
from openbook.llama_index import OpenbookQueryEngine, OpenbookRetriever, ingest
from rag.compose import Engine
from rag.errors import BadRequest, CollectionNotFound

pytestmark = pytest.mark.process

T = TypeVar("T")
QUESTION = "How long does the battery of the gauge last?"
SAID = "The battery of the gauge lasts 400 days."


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)
    (tmp_path / "gauge.md").write_text(SAID)
    with fake_engine(tmp_path / "data") as engine:
        ingested(engine, tmp_path / "gauge.md", collection="team")
        yield engine


@pytest.fixture
async def service(engine: Engine) -> AsyncIterator[Live]:
    async with live(engine) as service:
        yield service


async def with_client(service: Live, work: Callable[[Client], T]) -> T:
    def blocking() -> T:
        with Client.local(service.data) as client:
            return work(client)

    return await asyncio.to_thread(blocking)


async def test_a_retriever_gives_what_a_search_finds_and_what_would_be_read(service: Live) -> None:
    def work(client: Client) -> None:
        (hit,) = OpenbookRetriever(client, "team", limit=1).retrieve(QUESTION)
        assert (hit.node.get_content(MetadataMode.NONE), hit.score) == (
            SAID,
            client.search(QUESTION, "team")[0].score,
        )
        assert hit.node.metadata["source"].endswith("/gauge.md")
        assert hit.node.metadata["line"] == 1
        (block,) = OpenbookRetriever(client, "team", context_tokens=1000).retrieve(QUESTION)
        assert (block.node.get_content(MetadataMode.NONE), block.score) == (SAID, None)
        assert (block.node.metadata["line"], block.node.metadata["line_end"]) == (1, 1)
        nothing = OpenbookRetriever(client, "team", among=Filter(types=("pdf",)))
        assert nothing.retrieve(QUESTION) == []
        with pytest.raises(CollectionNotFound):
            OpenbookRetriever(client, "nope").retrieve(QUESTION)

    await with_client(service, work)


async def test_an_answer_comes_with_what_it_cites_whole_or_piece_by_piece(service: Live) -> None:
    def work(client: Client) -> None:
        response = OpenbookQueryEngine(client, "team").query(QUESTION)
        assert str(response) == REPLY
        (source,) = response.source_nodes
        assert source.node.get_content(MetadataMode.NONE) in SAID
        assert source.node.metadata["grade"] == "exact"
        assert response.metadata is not None
        answer = response.metadata["answer"]
        assert isinstance(answer, Answer)
        assert answer.receipt.documents == 1

        streamed = OpenbookQueryEngine(client, "team", streaming=True, max_context_tokens=500).query(QUESTION)
        assert "".join(streamed.response_gen) == REPLY  # type: ignore[union-attr, arg-type]
        assert [node.node_id for node in streamed.source_nodes] == [source.node_id]
        assert streamed.metadata is not None
        assert streamed.metadata["answer"].receipt.budget_tokens == 500

    await with_client(service, work)
    with Client.local(service.data) as client:
        assert str(await OpenbookQueryEngine(client, "team").aquery(QUESTION)) == REPLY
        assert len(await OpenbookRetriever(client, "team").aretrieve(QUESTION)) == 1


async def test_other_parts_of_llama_index_take_the_retriever(service: Live) -> None:
    def work(client: Client) -> None:
        from llama_index.core.llms.mock import MockLLM

        synthesizer = get_response_synthesizer(llm=MockLLM(max_tokens=64))
        retriever = OpenbookRetriever(client, "team", context_tokens=1000)
        response = RetrieverQueryEngine(retriever, synthesizer).query(QUESTION)
        assert [node.node.metadata["title"] for node in response.source_nodes] == ["gauge.md"]

    await with_client(service, work)


async def test_documents_are_ingested_found_by_their_metadata_and_replaced(service: Live) -> None:
    made = date(2026, 1, 31)
    report = Document(text="The weir opened.", doc_id="report/1", metadata={"author": "Ada", "made": made})
    note = Document(text="The lock closed.", doc_id="note ä")

    def work(client: Client) -> None:
        view = ingest(client, [report, note], "imported")
        assert (view.job.state, view.job.counts) == ("done", {"added": 2})
        by_ada = Filter(fields={"author": "ada"})
        (hit,) = client.search("weir", "imported", among=by_ada)
        assert hit.passage.text.strip().endswith("The weir opened.")
        again = Document(text="The weir closed.", doc_id="report/1", metadata={"author": "Ada"})
        assert ingest(client, [again], "imported").job.counts == {"replaced": 1}
        assert client.documents("imported").total == 2
        with pytest.raises(BadRequest, match=r"report-1-\w+\.md"):
            ingest(client, [report, again], "imported")

    await with_client(service, work)


LONG = "/a/folder/of/many" * 20


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("report/1", "report-1"),  # what a file's name cannot have
        (f"{LONG}.pdf_part_1", f"{LONG}.pdf_part_2"),  # as SimpleDirectoryReader calls a file's pages
        ("潮" * 200, "潮" * 201),  # letters of three bytes, of which a file's name has 255
        ("Å", "\u212b"),  # the same in NFC, in which the service keeps names
        ("???", "!!!"),
        ("note.", "note"),
    ],
)
async def test_other_ids_are_other_documents_whatever_is_in_them(service: Live, one: str, other: str) -> None:
    def work(client: Client) -> None:
        for id_ in (one, other):
            view = ingest(client, [Document(text=f"Of {id_}.", doc_id=id_)], "imported")
            assert view.job.counts == {"added": 1}
        both = [Document(text="The same in both.", doc_id=id_) for id_ in (one, other)]
        assert ingest(client, both, "imported").job.counts == {"replaced": 2}

    await with_client(service, work)


async def test_nodes_are_of_the_document_that_they_come_from(service: Live) -> None:
    def work(client: Client) -> None:
        (gauge,) = client.documents("team").documents
        found = [
            *OpenbookRetriever(client, "team").retrieve(QUESTION),
            *OpenbookRetriever(client, "team", context_tokens=1000).retrieve(QUESTION),
            *OpenbookQueryEngine(client, "team").query(QUESTION).source_nodes,
        ]
        assert [node.node.ref_doc_id for node in found] == [gauge.id] * 3
        assert client.document(gauge.id, "team") == gauge

    await with_client(service, work)
