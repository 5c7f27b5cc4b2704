"""Answers, passages and the status as people read them on a terminal; ``--json`` has all of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from api.places import shown, spot
from api.replies import SearchReply, Status
from ingest import catalog
from ingest.job_cli import duration
from ingest.jobs import Pending
from rag.question import Filter
from rag.terminal import out
from rag.text import told_seconds
from rag.types import Answer, Citation, Drop, Hit, Miss, Place, Receipt, Searched, short_name

QUOTE_CHARACTERS = 240  # of a quotation


def print_answer(answer: Answer) -> None:
    """All but its text, which has been shown as it came."""
    print_support(answer)
    _print_receipt(answer.receipt)


def print_support(answer: Answer) -> None:
    """Its citations, or what was searched in vain."""
    if answer.answerable:
        _print_citations(answer)
    else:
        out.print(f"\n{answer.reason}", markup=False, style="yellow")
    if answer.searched:
        _print_searched(answer.searched)


def print_line(receipt: Receipt) -> None:
    """The receipt in a line, and its notes."""
    blocks = f"{len(receipt.read)} block{'' if len(receipt.read) == 1 else 's'}"
    parts = [f"read {receipt.context_tokens:,} tokens in {blocks}"]
    if begun := _begun(receipt):
        parts.append(f"first token {begun}")
    if receipt.usage:
        parts.append(f"{receipt.usage.completion:,} out")
    parts.append(f"{receipt.seconds['total']:.2f} s")
    out.print("; ".join(parts), markup=False, style="dim")
    for warning in receipt.warnings:
        out.print(warning, markup=False, style="dim")


def print_hits(found: SearchReply) -> None:
    for rank, hit in enumerate(found.hits, 1):
        _print_hit(rank, hit)
    if not found.hits:
        names = (found.collection,) if isinstance(found.collection, str) else found.collection
        out.print(f"nothing found in {', '.join(map(repr, names))}", markup=False)


def _print_hit(rank: int, hit: Hit) -> None:
    place = _where(hit.document.source, hit.passage.place(hit.passage.span))
    via = f" (named by {hit.via})" if hit.via else ""
    out.print(f"[bold]{rank}.[/bold] {escape(place)}{escape(via)}  [dim]{hit.score:.4f}[/dim]")
    out.print("   " + _shortened(hit.passage.text), markup=False, style="dim")


def print_status(now: Status) -> None:
    where = f"{now.url} (pid {now.pid})" if now.url else "not running"
    rows = {"service": where, "version": now.version, "data folder": now.data_dir}
    problem = f": {now.embedder_problem}" if now.embedder_problem else ""
    rows |= {"model": now.model, "embedder": now.embedder + problem}
    for name, value in rows.items():
        out.print(f"{name + ':':13} {value}", markup=False)
    for model in now.models[1:]:
        restarts = f"; restarted {model.restarts} times" if model.restarts else ""
        out.print(f"{'model:':13} {model.name}: {model.detail}{restarts}", markup=False)
    if now.warm_tokens is not None:
        out.print(f"{'warm:':13} {now.warm_tokens:,} tokens", markup=False)
    for name, size in now.collections.items():
        _print_size(name, size)
    for job in now.jobs:
        _print_job(job)


def _print_size(name: str, size: catalog.Size) -> None:
    told = size.error or f"{size.documents:,} documents, {size.passages:,} passages"
    out.print(f"collection:   {name}: {told}", markup=False)
    if size.outdated:
        told = f"{size.outdated:,} documents were read by an older parser; read them again with:"
        out.print(f"              {told} openbook ingest PATH --collection {name}", markup=False)


def _print_job(job: Pending) -> None:
    files = f"{job.files_done:,}" + (f" of {job.files:,}" if job.files is not None else "")
    left = f", about {duration(job.left_s)} left" if job.left_s is not None else ""
    out.print(f"job:          {job.id} {job.state}, {files} files into {job.collection}{left}", markup=False)


def _print_searched(searched: Searched) -> None:
    """Where the answer was looked for in vain, and what came nearest to it."""
    table = Table.grid(padding=(0, 2))
    table.add_row("collections", escape(", ".join(searched.collections)))
    if searched.among:
        table.add_row("only", escape("; ".join(_conditions(searched.among))))
    if searched.nearest:
        table.add_row("nearest", escape("\n".join(map(_miss, searched.nearest))))
    out.table(table)


def _conditions(among: Filter) -> Iterator[str]:
    """As the options of the command have them."""
    several = {"path": among.paths, "type": among.types, "heading": among.headings}
    for name, values in several.items():
        if values:
            yield f"{name} {' or '.join(values)}"
    if among.since:
        yield f"since {among.since}"
    if among.until:
        yield f"until {among.until}"
    yield from (f"{name}={value}" for name, value in among.fields.items())


def _miss(miss: Miss) -> str:
    read = "read" if miss.read else "not read"
    return f"{_where(miss.source, miss.place)} ({read}): {_shortened(miss.quote)}"


def _print_citations(answer: Answer) -> None:
    if answer.citations:
        out.print()
    for citation in answer.citations:
        _print_citation(citation)
    for span in answer.unsupported:
        out.print("no support found for: " + answer.text[span.start : span.end], markup=False, style="yellow")


def _print_citation(citation: Citation) -> None:
    by = "" if citation.origin == "mark" else ", found by support"
    offsets = f"characters {citation.span.start}-{citation.span.end}"
    commit = f" at {citation.commit[:10]}" if citation.commit else ""
    place = f"{_where(citation.source, citation.place)}{commit}, {offsets}"
    out.print(f"[{citation.number}] {place} ({citation.grade}{by})", markup=False, style="bold")
    out.print("    " + _shortened(citation.quote), markup=False, style="dim")


def _print_receipt(receipt: Receipt) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "searched", f"{receipt.passages:,} passages of {receipt.documents:,} documents, {receipt.hits} found"
    )
    names = ", ".join(f"[{read.number}] {short_name(read.source)} {read.place}" for read in receipt.read)
    amount = f"{receipt.context_tokens:,} of {receipt.budget_tokens:,} tokens"
    table.add_row("read", escape(f"{amount}: {names}" if names else amount))
    if receipt.dropped:
        table.add_row("not read", escape(_not_read(receipt.dropped)))
    if usage := receipt.usage:
        table.add_row("model", escape(f"{receipt.model}: {usage.prompt:,} in, {usage.completion:,} out"))
    if begun := _begun(receipt):
        table.add_row("first token", begun)
    table.add_row(
        "seconds", ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in receipt.seconds.items())
    )
    for warning in receipt.warnings:
        table.add_row("note", escape(warning))
    out.print()
    out.table(table, style="dim")


def _not_read(drops: Sequence[Drop]) -> str:
    tokens: Counter[str] = Counter()
    for drop in drops:
        tokens[drop.reason] += drop.tokens
    ((reason, _),) = tokens.most_common(1)
    passages = sum(len(drop.ordinals) for drop in drops)
    return f"{passages} passages, {tokens.total():,} tokens, {'mostly ' if len(tokens) > 1 else ''}{reason}"


def _begun(receipt: Receipt) -> str:
    """How soon the answer began and how much of the prompt was cached, each with what was foretold, where known."""
    told, usage = [], receipt.usage
    if (took := receipt.seconds.get("first_token")) is not None:
        foretold = {"predicted": receipt.predicted_s, "target": receipt.target_s}
        told.append(
            told_seconds(took) + _aside(f"{name} {told_seconds(s)}" for name, s in foretold.items() if s)
        )
    if usage and usage.cached is not None:
        foretold_cached = receipt.predicted_cached
        beside = [] if foretold_cached is None else [f"predicted {foretold_cached:,}"]
        told.append(f"{usage.cached:,} of {usage.prompt:,} tokens from cache" + _aside(beside))
    return " · ".join(told)


def _aside(parts: Iterable[str]) -> str:
    text = ", ".join(parts)
    return f" ({text})" if text else ""


def _where(source: str, place: Place) -> str:
    """What terminals and editors open, where it is a line of code."""
    opened = spot(source, place)
    return shown(opened) if opened else f"{short_name(source)}, {place}"


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= QUOTE_CHARACTERS else flat[: QUOTE_CHARACTERS - 1] + "…"
