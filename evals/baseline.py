"""The ordinary llama-index pipeline, to compare with: SentenceSplitter as it comes, one vector search by the same
embedder, nodes by score until the budget is full, the default prompt, the same model.

Where a choice is free it is made in its favour: a document's title, or a file's name and the page, stand before
each node, where llama-index puts metadata; a node that does not fit is passed over for the next one that does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from evals.datasets.values import Corpus, Record
from evals.generation import complete
from evals.progress import Begin
from evals.systems import Extract, Reading, Said
from ingest.parse import parse
from ingest.sources import media_type_of
from ingest.steps import to_end
from rag import prompt
from rag.answer import Rag
from rag.ports import Message, Vectors

if TYPE_CHECKING:
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import Document, TextNode

_AT_ONCE = 256  # nodes that are embedded together
BETWEEN = "\n\n"  # what the default response synthesizer puts between nodes


@dataclass(frozen=True, slots=True)
class Node:
    """``text`` is the node's own, ``sent`` what the model reads: metadata, then the text. ``tokens`` are those."""

    extract: Extract
    sent: str
    tokens: int


@dataclass(frozen=True, slots=True)
class LlamaIndex:
    """``vectors`` are the nodes', ``(n, dimension)``. One product ranks all of them, as SimpleVectorStore does in
    a loop; a test compares the two."""

    rag: Rag
    nodes: tuple[Node, ...]
    vectors: Vectors
    name: str = field(default="llama-index", init=False)

    async def rank(self, query: str, limit: int) -> list[str]:
        ranked = await asyncio.to_thread(self._ranked, query)
        return list(dict.fromkeys(node.extract.document for node in ranked))[:limit]

    async def read(self, question: str, budget: int) -> Reading:
        return reading(await asyncio.to_thread(self.chosen, question, budget))

    async def answer(self, question: str, budget: int) -> Said:
        chosen = await asyncio.to_thread(self.chosen, question, budget)
        said = await complete(self.rag, prompted([node.sent for node in chosen], question))
        return Said("" if prompt.says_not_found(said) else said, budget)

    def _ranked(self, query: str) -> list[Node]:
        scores = self.vectors @ self.rag.embedder.embed_query(query)
        return [self.nodes[at] for at in np.argsort(-scores, kind="stable")]

    def chosen(self, question: str, budget: int) -> list[Node]:
        chosen, tokens = [], 0
        for node in self._ranked(question):
            if tokens + node.tokens <= budget:
                chosen.append(node)
                tokens += node.tokens
        return chosen


def reading(nodes: Sequence[Node]) -> Reading:
    return Reading(tuple(node.extract for node in nodes), sum(node.tokens for node in nodes))


def prompted(texts: Sequence[str], question: str) -> list[Message]:
    """The default prompt of the default response synthesizer."""
    from llama_index.core.prompts.chat_prompts import CHAT_TEXT_QA_PROMPT

    made = CHAT_TEXT_QA_PROMPT.format_messages(context_str=BETWEEN.join(texts), query_str=question)
    return [Message(str(message.role.value), message.content or "") for message in made]


async def build(rag: Rag, corpus: Corpus, begin: Begin) -> LlamaIndex:
    """Cancelled, it ends with the step at hand."""
    texts: list[TextNode] = []
    done = begin("llama-index: splitting", len(corpus.names))
    splitter = await to_end(_splitter)
    sources: list[Record | tuple[str, Path]] = [*corpus.records, *corpus.files.items()]
    for source in sources:
        texts += await to_end(_split, splitter, source)
        done(1)
    done = begin("llama-index: embedding", len(texts))
    vectors: list[Vectors] = []
    nodes: list[Node] = []
    for at in range(0, len(texts), _AT_ONCE):
        made, of_them = await to_end(_embedded, rag, texts[at : at + _AT_ONCE])
        nodes += made
        vectors.append(of_them)
        done(len(made))
    return LlamaIndex(rag, tuple(nodes), np.concatenate(vectors))


def _splitter() -> SentenceSplitter:
    # Seconds to import: only a comparison pays for it.
    from llama_index.core.node_parser import SentenceSplitter

    return SentenceSplitter()


def _split(splitter: SentenceSplitter, source: Record | tuple[str, Path]) -> list[TextNode]:
    documents = list(_of_record(source) if isinstance(source, Record) else _of_file(*source))
    return cast("list[TextNode]", splitter.get_nodes_from_documents(documents))


def _embedded(rag: Rag, texts: Sequence[TextNode]) -> tuple[list[Node], Vectors]:
    from llama_index.core.schema import MetadataMode

    vectors = rag.embedder.embed([text.get_content(metadata_mode=MetadataMode.EMBED) for text in texts])
    sent = [text.get_content(metadata_mode=MetadataMode.LLM) for text in texts]
    counts = rag.tokens.count([each + BETWEEN for each in sent])
    return [
        Node(_extract(text.ref_doc_id or "", text.get_content(metadata_mode=MetadataMode.NONE)), each, count)
        for text, each, count in zip(texts, sent, counts, strict=True)
    ], vectors


def _of_record(record: Record) -> Iterator[Document]:
    from llama_index.core.schema import Document

    metadata = {"title": record.title} if record.title else {}
    yield Document(text=record.text, metadata=metadata, id_=_id(record.id, None))


def _of_file(name: str, path: Path) -> Iterator[Document]:
    """Of a PDF each page is one, as llama-index reads them."""
    from llama_index.core.schema import Document

    for page, text in _pages(path):
        metadata = {"file_name": path.name} | ({"page_label": str(page)} if page else {})
        yield Document(text=text, metadata=metadata, id_=_id(name, page))


def _pages(path: Path) -> Iterator[tuple[int | None, str]]:
    """Pages of a PDF, from 1, as its text layer has them; of another file the text as openbook reads it."""
    if path.suffix.lower() != ".pdf":
        yield None, parse(path.read_bytes(), path.name, media_type_of(path)).text
        return
    import pypdfium2

    with pypdfium2.PdfDocument(path) as pdf:
        for number in range(len(pdf)):
            text = pdf[number].get_textpage().get_text_bounded()
            if text.strip():
                yield number + 1, text.replace("\r\n", "\n")


def _id(document: str, page: int | None) -> str:
    return f"{document}\n{page or ''}"


def _extract(id_: str, text: str) -> Extract:
    document, page = id_.split("\n")
    return Extract(document, text, frozenset([int(page)] if page else []))
