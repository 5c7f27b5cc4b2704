"""The tools' results as text that an agent reads: places first, what was left out and how to get it last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from api.code_replies import MapReply, ReferenceList, ReferenceView, SymbolList, SymbolView, TextReply
from api.mcp.results import Asked, Collections, Found, Holding, Ingested
from api.places import at
from rag.errors import RagError


def error(raised: RagError) -> str:
    again = "The same call may succeed later." if raised.retryable else ""
    return _lines([f"{raised.code}: {raised.message}", raised.hint, again])


def found(result: Found) -> str:
    blocks = [
        f"[{number}] {each.at}  {' > '.join(each.section)}".rstrip() + f"\n{each.text.strip()}"
        for number, each in enumerate(result.passages, result.offset + 1)
    ]
    return "\n\n".join([*blocks, _more(result.next_offset, "passages")]) if blocks else "Nothing was found."


def asked(result: Asked) -> str:
    parts = [result.answer] if result.answerable else [f"Not answered: {result.reason}"]
    parts += [f"[{each.number}] {each.at} ({each.grade}): {_flat(each.quote)}" for each in result.citations]
    parts += [f"No support was found for: {sentence}" for sentence in result.unsupported]
    if not result.answerable and result.nearest:
        parts.append("Nearest: " + ", ".join(result.nearest))
    parts += [f"Note: {note}" for note in result.notes]
    return _lines(parts)


def text(reply: TextReply) -> str:
    what = f" ({reply.symbol})" if reply.symbol else ""
    head = f"{at(reply.path, reply.line_start, reply.line_end)}{what}, of {reply.lines:,} lines"
    tail = ""
    if reply.cut_in_line:
        tail = f"Line {reply.line_start} is cut at {reply.budget:,} tokens: call again with more tokens."
    elif reply.rest:
        tail = f'Cut at {reply.budget:,} tokens: read lines "{reply.rest}" of this document for the rest.'
    return f"{head}\n{reply.text.rstrip()}\n{tail}".rstrip()


def symbols(reply: SymbolList) -> str:
    rows = [_symbol(symbol) for symbol in reply.symbols]
    return _lines([*rows, _more(reply.next_offset, "symbols")]) if rows else "Nothing is called so."


def _symbol(symbol: SymbolView) -> str:
    told = "  ".join(filter(None, (symbol.signature, symbol.doc)))
    return (
        f"{at(symbol.path, symbol.line, symbol.line_end)}  {symbol.kind} {symbol.qualified}  {told}".rstrip()
    )


def references(reply: ReferenceList) -> str:
    told = "used by" if reply.direction == "to" else "uses"
    head = f"{reply.symbol}: {told} {reply.total:,}"
    rows = [_reference(each, reply) for each in reply.references]
    return _lines([head, *rows, _more(reply.next_offset, "references")])


def _reference(each: ReferenceView, reply: ReferenceList) -> str:
    if reply.direction == "from":
        return f"{at(each.path, each.line)}  {each.kind} {each.symbol}, at {each.defined_at} ({each.sure})"
    return f"{at(each.path, each.line)}  {each.kind} in {each.within or 'the file itself'} ({each.sure})"


def mapped(reply: MapReply) -> str:
    left = reply.files - reply.shown
    tail = (
        f"{left:,} more files did not fit {reply.budget:,} tokens: ask for more, or with focus."
        if left
        else ""
    )
    return _lines([reply.text.rstrip(), tail])


def collections(result: Collections) -> str:
    rows = [_holding(each) for each in result.collections] or ["There are no collections yet."]
    rows += [
        f"job {job.id}: {job.state}, {job.files_done:,} files done, into {job.collection}"
        for job in result.jobs
    ]
    allowed = ", ".join(result.allowed_folders) or "none; the owner lists them in OPENBOOK_ROOTS"
    return _lines([*rows, f"Folders that may be ingested: {allowed}", f"Model: {result.model}"])


def _holding(each: Holding) -> str:
    if each.error:
        return f"{each.name}: {each.error}"
    old = f", {each.outdated:,} read by an older parser" if each.outdated else ""
    return f"{each.name}: {each.documents:,} documents, {each.passages:,} passages{old}"


def ingested(result: Ingested) -> str:
    return _lines(_ingested(result))


def _ingested(result: Ingested) -> Iterator[str]:
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(result.counts.items()))
    yield f"job {result.job}: {result.state}, into {result.collection}: {counts or 'no files yet'}"
    yield result.error
    yield from (f"{each.status} {each.name}: {each.reason}" for each in result.notable)
    if (more := result.notable_in_all - len(result.notable)) > 0:
        yield f"and {more:,} more that were not read"
    if result.state in ("queued", "running"):
        left = f", about {result.left_s:,.0f} s are left" if result.left_s else ""
        yield f"It goes on{left}; the tool collections tells how far it is."


def _more(next_offset: int | None, what: str) -> str:
    return f"There are more {what}: call again with offset={next_offset}." if next_offset is not None else ""


def _flat(text: str) -> str:
    return " ".join(text.split())


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
