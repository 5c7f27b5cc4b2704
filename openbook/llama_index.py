"""openbook in a LlamaIndex program: what it finds as a retriever, what it answers as a query engine; docs/rest.md.

https://developers.llamaindex.ai/python/framework/understanding/rag/
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unicodedata import normalize

import yaml
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import RESPONSE_TYPE, Response, StreamingResponse
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import (
    Document,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)

from openbook.client import Answer, Client, JobView, Piece
from openbook.client.calls import Asked, AskOptions
from rag.errors import BadRequest
from rag.question import Filter
from rag.types import Citation, Hit, Place, Read

LONGEST_NAME = 120  # bytes, of what a name has of an id


class OpenbookRetriever(BaseRetriever):
    """The passages of a search, best first; or, with ``context_tokens``, the blocks that openbook itself would read in
    so many tokens, in its order and without scores. Raises the errors of ``Client``."""

    def __init__(
        self,
        client: Client,
        collection: Asked = "default",
        *,
        limit: int = 10,
        context_tokens: int | None = None,
        among: Filter | None = None,
        **base: Any,
    ) -> None:
        self._client, self._collection, self._among = client, collection, among
        self._limit, self._context_tokens = limit, context_tokens
        super().__init__(**base)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query, among = query_bundle.query_str, self._among
        if self._context_tokens is None:
            hits = self._client.search(query, self._collection, limit=self._limit, among=among)
            return [_of_hit(hit) for hit in hits]
        context = self._client.context(
            query, self._collection, max_context_tokens=self._context_tokens, among=among
        )
        return [_of_read(block.read, block.text) for block in context.blocks]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


class OpenbookQueryEngine(BaseQueryEngine):
    """Its answers; ``source_nodes`` are what they cite, ``metadata`` holds the whole Answer under ``answer``, or with
    ``streaming`` once the text has come to its end. ``options`` are those of ``Client.ask``."""

    def __init__(
        self, client: Client, collection: Asked = "default", *, streaming: bool = False, **options: Any
    ) -> None:
        self._client, self._collection, self._streaming = client, collection, streaming
        self._options: AskOptions = options  # type: ignore[assignment]  # checked where it is sent
        super().__init__(callback_manager=None)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        if self._streaming:
            return self._streamed(query_bundle.query_str)
        answer = self._client.ask(query_bundle.query_str, self._collection, **self._options)
        return Response(answer.text, _sources(answer), {"answer": answer})

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        return await asyncio.to_thread(self._query, query_bundle)

    def _streamed(self, question: str) -> StreamingResponse:
        sources: list[NodeWithScore] = []
        metadata: dict[str, Any] = {}

        def texts() -> Generator[str, None, None]:
            for event in self._client.stream(question, self._collection, **self._options):
                if isinstance(event, Piece):
                    yield event.text
                elif isinstance(event, Answer):
                    sources.extend(_sources(event))
                    metadata["answer"] = event

        return StreamingResponse(texts(), sources, metadata)


def ingest(
    client: Client,
    documents: Sequence[Document],
    collection: str = "default",
    *,
    name: Callable[[Document], str] | None = None,
) -> JobView:
    """Has documents read into a collection, and waits: the job as it ended, with what became of each. A document is a
    Markdown file called by its id (or by ``name``), with its metadata as front matter, by which a Filter finds it; the
    same id again replaces it. Raises BadRequest where two would be the same file."""
    names = [(name or _name)(document) for document in documents]
    if again := [each for each, count in Counter(names).items() if count > 1]:
        raise BadRequest(f"Several of the documents would be {again[0]!r}.", "Give them ids that differ.")
    with TemporaryDirectory(prefix="openbook-") as folder:
        files = [Path(folder, each) for each in names]
        for file, document in zip(files, documents, strict=True):
            file.write_text(_markdown(document), encoding="utf-8")
        job = client.upload(files, collection)
    for _ in client.follow(job.job.id):
        pass
    return client.job(job.job.id)


def _markdown(document: Document) -> str:
    text = document.get_content(MetadataMode.NONE)
    if not document.metadata:
        return text
    metadata = json.loads(json.dumps(document.metadata, default=str))  # what is no JSON as its text
    return f"---\n{yaml.safe_dump(metadata, allow_unicode=True, sort_keys=False)}---\n\n{text}"


def _name(document: Document) -> str:
    """The same id is the same file, and another one another: where a name cannot have all of the id, it has the id's
    hash too."""
    id_ = document.doc_id
    safe = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in normalize("NFC", id_))
    name = safe.strip(".-").encode()[:LONGEST_NAME].decode(errors="ignore")
    if name and name == id_:
        return f"{name}.md"
    digest = hashlib.sha256(id_.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{name or 'document'}-{digest}.md"


def _sources(answer: Answer) -> list[NodeWithScore]:
    return [_of_citation(citation) for citation in answer.citations]


def _of_hit(hit: Hit) -> NodeWithScore:
    document, passage = hit.document, hit.passage
    node = _node(passage.id, passage.text, document.id, document.source, document.title, passage.start)
    node.metadata |= {"line": passage.line, "page": passage.page, "section": list(passage.section)}
    return NodeWithScore(node=node, score=hit.score)


def _of_read(read: Read, text: str) -> NodeWithScore:
    id_ = f"{read.document_id}:{read.span.start}-{read.span.end}"
    node = _node(id_, text, read.document_id, read.source, read.title, read.span.start)
    node.metadata |= _place(read.place)
    return NodeWithScore(node=node)


def _of_citation(citation: Citation) -> NodeWithScore:
    id_ = f"{citation.document_id}:{citation.span.start}-{citation.span.end}"
    node = _node(
        id_, citation.quote, citation.document_id, citation.source, citation.title, citation.span.start
    )
    node.metadata |= _place(citation.place) | {
        "number": citation.number,
        "grade": citation.grade,
        "section": list(citation.section),
        "commit": citation.commit,
    }
    return NodeWithScore(node=node)


def _node(id_: str, text: str, document_id: str, source: str, title: str, start: int) -> TextNode:
    """``start`` and the end count characters of the document's text. The document is the node's source, by which
    LlamaIndex tells what belongs together (``ref_doc_id``)."""
    metadata = {"document_id": document_id, "source": source, "title": title}
    return TextNode(
        id_=id_,
        text=text,
        metadata=metadata,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document_id)},
        start_char_idx=start,
        end_char_idx=start + len(text),
    )


def _place(place: Place) -> dict[str, Any]:
    return {"line": place.line_start, "line_end": place.line_end, "page": place.page, "sheet": place.sheet}
