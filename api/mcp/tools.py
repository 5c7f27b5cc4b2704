"""The tools that agents are given. Their docstrings are what an agent is told of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, TextContent

from api.code_replies import Direction, MapReply, ReferenceList, SymbolList, TextReply
from api.mcp import arguments as a
from api.mcp import results, shown
from api.mcp.rest import Rest
from api.replies import SearchReply, Status
from ingest.jobs import JobView
from rag import wire
from rag.code.outline import DefinitionKind, UseKind
from rag.types import Answer

LOOK_S = 0.5  # between two looks at a job that is waited for

Asking = Context[Any, Any]


class Tools:
    """``roots`` are the folders that may be ingested."""

    def __init__(self, rest: Rest, roots: Sequence[Path] = ()) -> None:
        self._rest, self._roots = rest, [str(root) for root in roots]

    async def search(
        self,
        query: a.Query,
        asking: Asking,
        collection: a.Collection = "default",
        paths: a.Paths = (),
        limit: a.Limit = 8,
        offset: a.Offset = 0,
        tokens: a.Tokens = 4000,
    ) -> Annotated[CallToolResult, results.Found]:
        """Find passages of documents and code by meaning and by words, best first, with path:line of each.

        Use it to find where something is described or done when you do not know its name. For a name you know,
        symbols is exact; for an answer in words, ask. Passages that did not fit are named by next_offset."""
        body = {
            "query": query,
            "collection": collection,
            "filter": {"paths": paths},
            "limit": min(200, offset + limit + 1),
        }
        reply: SearchReply = await self._call(asking, "POST", "/v1/search", SearchReply, json=body)
        result = results.found(reply.hits, offset, limit, tokens)
        return _told(shown.found(result), result)

    async def ask(
        self,
        question: a.AskedText,
        asking: Asking,
        collection: a.Collection = "default",
        paths: a.Paths = (),
        max_context_tokens: a.MostContext = None,
        max_answer_tokens: a.MostAnswer = None,
        model: a.Model = None,
    ) -> Annotated[CallToolResult, results.Asked]:
        """Have openbook's own model read what the collection says about a question and answer it, each sentence with
        the path:line-line that supports it, checked word for word.

        Use it for questions over many files or long documents that would fill your context. It takes seconds to
        minutes. A sentence without support is named as such: read the source before you rely on it."""
        body = {
            "question": question,
            "collection": collection,
            "filter": {"paths": paths},
            "max_context_tokens": max_context_tokens,
            "max_answer_tokens": max_answer_tokens,
            "model": model,
        }
        answer: Answer = await self._call(asking, "POST", "/v1/answer", Answer, json=body)
        result = results.asked(answer)
        return _told(shown.asked(result), result)

    async def read(
        self,
        asking: Asking,
        document: a.Document = "",
        lines: a.Lines = "",
        symbol: a.Symbol = "",
        qualified: a.Qualified = "",
        collection: a.Collection = "default",
        tokens: a.Tokens = 4000,
    ) -> Annotated[CallToolResult, TextReply]:
        """Read a file, some lines of it, or one symbol (a whole function or class), as it was ingested.

        Give document, or document and lines, or symbol. What does not fit tokens is named in rest: read those
        lines next. It reads the index, so also PDF and Office files, and no file that was not ingested."""
        asked = {"document": document, "lines": lines, "symbol": symbol, "qualified": qualified}
        reply: TextReply = await self._get(asking, collection, "text", TextReply, **asked, tokens=tokens)
        return _told(shown.text(reply), reply)

    async def symbols(
        self,
        query: a.Symbol,
        asking: Asking,
        kind: DefinitionKind | None = None,
        collection: a.Collection = "default",
        limit: a.Limit = 20,
        offset: a.Offset = 0,
    ) -> Annotated[CallToolResult, SymbolList]:
        """Find definitions (classes, functions, methods, constants) by name, exact ones first, then similar ones,
        with path:line, signature and what they are for.

        Use it when you know a name or part of it; then read with the symbol, or references."""
        asked: dict[str, Any] = {"query": query, "limit": limit, "offset": offset}
        asked |= {"kind": kind} if kind else {}
        reply: SymbolList = await self._get(asking, collection, "symbols", SymbolList, **asked)
        return _told(shown.symbols(reply), reply)

    async def references(
        self,
        symbol: a.Symbol,
        asking: Asking,
        qualified: a.Qualified = "",
        kinds: tuple[UseKind, ...] = (),
        direction: Direction = "to",
        collection: a.Collection = "default",
        limit: a.Limit = 50,
        offset: a.Offset = 0,
    ) -> Annotated[CallToolResult, ReferenceList]:
        """Tell where a symbol is used (direction to) or what it uses (from), with path:line and how sure that is:
        exact, likely (the only one of that name) or possible.

        kinds call gives callers or callees, inherit implementers or bases, fixture the tests that pytest gives it to.
        Use it before you change a signature, or to follow how something is reached. Where several symbols have that
        name, the error names them: pass one as qualified."""
        asked = {"symbol": symbol, "qualified": qualified, "kinds": kinds, "direction": direction}
        reply: ReferenceList = await self._get(
            asking, collection, "references", ReferenceList, **asked, limit=limit, offset=offset
        )
        return _told(shown.references(reply), reply)

    async def map(
        self,
        asking: Asking,
        focus: a.Focus = (),
        collection: a.Collection = "default",
        tokens: a.Tokens = 4000,
    ) -> Annotated[CallToolResult, MapReply]:
        """Show a map of a code base: its tree, and the signatures of the definitions that most others use.

        Use it first in a code base that you do not know, and with focus on the files you work on."""
        reply: MapReply = await self._get(asking, collection, "map", MapReply, focus=focus, tokens=tokens)
        return _told(shown.mapped(reply), reply)

    async def collections(self, asking: Asking) -> Annotated[CallToolResult, results.Collections]:
        """List the collections with what they hold, the ingest jobs that go on, the model, and the folders that may be
        ingested. Use it first, to know what there is to ask."""
        now: Status = await self._call(asking, "GET", "/v1/status", Status)
        held = tuple(results.holding(name, size) for name, size in now.collections.items())
        result = results.Collections(held, now.jobs, now.model, now.embedder, tuple(self._roots))
        return _told(shown.collections(result), result)

    async def ingest(
        self,
        paths: a.Folders,
        asking: Asking,
        collection: a.Collection = "default",
        prune: a.Prune = False,
        wait_s: a.Wait = 30,
    ) -> Annotated[CallToolResult, results.Ingested]:
        """Read files and folders into a collection, so that they can be searched, asked and read. Only below the
        folders that the owner allowed, which collections lists.

        Files that have not changed cost nothing. It goes on as a job when wait_s have passed."""
        body = {"paths": paths, "collection": collection, "prune": prune, "within": self._roots}
        return await self._job("/v1/jobs", body, asking, wait_s)

    async def refresh(
        self, asking: Asking, collection: a.Collection = "default", ref: a.Ref = "", wait_s: a.Wait = 30
    ) -> Annotated[CallToolResult, results.Ingested]:
        """Bring a collection up to date with the files and repositories that it was made from: after edits, a commit
        or a switch of branches. Only what has changed is read and embedded."""
        body = {"ref": ref} if ref else {}
        return await self._job(f"{_of(collection)}/refresh", body, asking, wait_s)

    async def _get(self, asking: Asking, collection: str, what: str, kind: Any, **asked: Any) -> Any:
        return await self._call(asking, "GET", f"{_of(collection)}/{what}", kind, params=asked)

    async def _call(self, asking: Asking, method: str, path: str, kind: Any, **arguments: Any) -> Any:
        """Over HTTP with the key that the client shows, so that a tool may what its REST path may."""
        by = None if asking.headers is None else asking.headers.get("authorization", "")
        return await self._rest.call(method, path, kind, authorization=by, **arguments)

    async def _job(self, path: str, body: dict[str, Any], asking: Asking, wait_s: float) -> CallToolResult:
        """A job, begun and waited for."""
        view: JobView = await self._call(asking, "POST", path, JobView, accept=(202,), json=body)
        until = time.monotonic() + wait_s
        while not view.job.has_ended and time.monotonic() < until:
            await asyncio.sleep(LOOK_S)
            view = await self._call(asking, "GET", f"/v1/jobs/{view.job.id}", JobView)
            await asking.report_progress(view.job.files_done, view.job.files, view.job.now or view.job.state)
        result = results.ingested(view)
        return _told(shown.ingested(result), result)


def _of(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}"


def _told(text: str, value: Any) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=wire.dump(value))
