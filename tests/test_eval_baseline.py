"""The llama-index baseline does what llama-index does, and openbook eval works with the real embedder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals import answers, baseline, corpus
from evals.datasets.values import Case, Cases, Corpus, Record
from evals.systems import Openbook
from fake_engine import engine_over, fake_store
from fakes import FakeCounter, FakeEmbedder, FakeGenerator
from openbook.app import app
from rag.answer import Rag

pytestmark = pytest.mark.process  # llama-index takes seconds to import

SUBJECTS = "tide boat rain wind siren gate pump buoy chart crane".split()
RECORDS = tuple(
    Record(f"d{n}", f"About the {subject}", f"The {subject} of the harbour was counted {n + 3} times. " * 4)
    for n, subject in enumerate(SUBJECTS)
)


def quiet(_what: str, _total: int) -> Callable[[int], None]:
    return lambda _count: None


@pytest.fixture
def rag(tmp_path: Path) -> Iterator[Rag]:
    store = fake_store(tmp_path / "store")
    yield engine_over(store, tmp_path, FakeGenerator("It was counted 3 times.")).rag
    store.close()


async def test_nodes_are_ranked_as_by_a_vector_store_index(rag: Rag) -> None:
    from llama_index.core import Document, VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding

    class Wrapped(BaseEmbedding):
        """Our embedder as llama-index takes one."""

        def _get_query_embedding(self, query: str) -> list[float]:
            vector: list[float] = FakeEmbedder().embed_query(query).tolist()
            return vector

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_query_embedding(text)

    documents = [Document(text=r.text, metadata={"title": r.title}, id_=r.id) for r in RECORDS]
    index = VectorStoreIndex.from_documents(documents, embed_model=Wrapped())
    query = "how often was the rain of the harbour counted"
    theirs = index.as_retriever(similarity_top_k=len(RECORDS)).retrieve(query)
    built = await baseline.build(rag, Corpus(RECORDS), quiet)
    ours = built._ranked(query)
    scores = built.vectors @ FakeEmbedder().embed_query(query)
    assert [node.score for node in theirs] == pytest.approx(sorted(scores, reverse=True), abs=1e-6)
    assert ours[0].extract.document == theirs[0].node.ref_doc_id == "d2"
    assert {node.sent for node in ours} == {node.get_content("llm") for node in theirs}  # type: ignore[arg-type]


async def test_reading_fills_the_budget_with_nodes_and_their_metadata(rag: Rag) -> None:
    built = await baseline.build(rag, Corpus(RECORDS), quiet)
    (node,) = (node for node in built.nodes if node.extract.document == "d0")
    assert node.sent == f"title: About the tide\n\n{RECORDS[0].text.strip()}"
    assert node.tokens == FakeCounter().count([node.sent])[0]
    reading = await built.read("tide", 2 * node.tokens + 5)
    assert reading.extracts[0].document == "d0"
    assert len(reading.extracts) == 2
    assert reading.tokens <= 2 * node.tokens + 5
    assert (await built.read("tide", 3)).extracts == ()


async def test_pages_of_a_pdf_are_documents(rag: Rag, samples: Path) -> None:
    manual = samples / "heron-h2-manual.pdf"
    built = await baseline.build(rag, Corpus(files={"manual": manual}), quiet)
    pages = {page for node in built.nodes for page in node.extract.pages}
    assert pages == set(range(1, max(pages) + 1))
    assert built.nodes[0].sent.startswith("file_name: heron-h2-manual.pdf\npage_label: 1\n\n")
    assert {node.extract.document for node in built.nodes} == {"manual"}


async def test_another_file_is_one_document(rag: Rag, samples: Path) -> None:
    built = await baseline.build(rag, Corpus(files={"runbook": samples / "surge-runbook.md"}), quiet)
    assert {(node.extract.document, node.extract.pages) for node in built.nodes} == {("runbook", frozenset())}


async def test_the_baseline_answers_from_as_many_tokens_with_its_own_prompt(rag: Rag) -> None:
    data = Cases("jsonl", Corpus(RECORDS), (Case("1", "How often was the tide counted?", ("3",)),))
    await corpus.write(rag, data.corpus, quiet)
    built = await baseline.build(rag, data.corpus, quiet)
    ours = Openbook(rag, data.corpus.names)
    made = await answers.evaluate_answers(data, ours, built, control=False, begin=quiet)
    assert made.scores["llama-index"]["1"]["contains"] == (1.0, 1.0)
    sent = rag.generator.sent[1]  # type: ignore[attr-defined]
    assert [message.role for message in sent] == ["system", "user"]
    assert sent[1].content.startswith("Context information is below.")
    assert "About the tide" in sent[1].content


@pytest.mark.models
def test_twenty_records_with_the_real_embedder(tmp_path: Path) -> None:
    subjects = "lighthouse bakery violin volcano glacier library tram orchard submarine cathedral".split()
    questions = {
        "lighthouse": "Which building warns ships at night?",
        "bakery": "Where is bread made?",
        "volcano": "Which mountain may erupt with lava?",
        "library": "Where can one borrow books?",
    }
    told = {
        "lighthouse": "Its lamp shows sailors where the rocks are after dark.",
        "bakery": "The ovens are lit at three, and the loaves are sold from six.",
        "violin": "Four strings and a bow, made in Cremona.",
        "volcano": "Molten rock came out of the crater for eleven days.",
        "glacier": "The ice moves downhill by half a metre a day.",
        "library": "Readers take up to ten volumes home for a month.",
        "tram": "It runs on rails through the old town every ten minutes.",
        "orchard": "Apples and pears are picked in September.",
        "submarine": "It stays under water for ninety days.",
        "cathedral": "Its two towers took two hundred years to build.",
    }
    rows = [{"_id": s, "title": s.title(), "text": told[s]} for s in subjects]
    rows += [
        {"_id": f"{s}-2", "title": "Minutes", "text": f"Item {n}: dates were agreed."}
        for n, s in enumerate(subjects)
    ]
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [{"_id": s, "text": text} for s, text in questions.items()]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    judged = "".join(f"{s}\t{s}\t1\n" for s in questions)
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    saved = tmp_path / "run.json"
    done = CliRunner().invoke(
        app, ["eval", "retrieval", str(tmp_path), "--baseline", "llamaindex", "--json", str(saved)]
    )
    assert done.exit_code == 0, done.output
    figures = {(f["system"], f["measure"]): f["value"] for f in json.loads(saved.read_text())["figures"]}
    for system in ("openbook", "llama-index"):
        assert figures[system, "Recall@5"] == 1
        assert figures[system, "MRR@10"] > 0.5  # by chance it would be 0.15
