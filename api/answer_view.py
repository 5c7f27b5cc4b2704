"""An answer on the terminal: as it is made, then its citations and its receipt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from rag.answer import Event, Piece, Reading
from rag.terminal import err, literal, out
from rag.types import Answer, Citation, Receipt, short_name

QUOTE_CHARACTERS = 240  # of a quotation on the screen; --json has all of it


@dataclass(frozen=True, slots=True)
class View:
    """What the terminal shows while an answer is made: ``told`` what goes on, ``show`` each event."""

    told: Callable[[str], None]
    show: Callable[[Event], None]


@contextmanager
def answer_view(*, quiet: bool) -> Iterator[View]:
    with err.status("reading", spinner="dots") as spinner:

        def show(event: Event) -> None:
            if isinstance(event, Reading):
                receipt = event.receipt
                told(f"{receipt.model} is reading {receipt.context_tokens:,} tokens")
                return
            spinner.stop()
            if quiet:
                return
            if isinstance(event, Piece):
                out.print(event.text, end="", markup=False)
            else:  # a stream that brought no piece has not shown its text yet
                out.print("" if event.receipt.usage else event.text, markup=False)

        def told(text: str) -> None:
            spinner.update(literal(text))

        yield View(told, show)


def print_citations(answer: Answer) -> None:
    if not answer.answerable:
        out.print(f"\n{answer.reason}", markup=False, style="yellow")
        return
    if answer.citations:
        out.print()
    for citation in answer.citations:
        _print_citation(citation)
    for span in answer.unsupported:
        out.print("no support found for: " + answer.text[span.start : span.end], markup=False, style="yellow")


def _print_citation(citation: Citation) -> None:
    by = "" if citation.origin == "mark" else ", found by support"
    offsets = f"characters {citation.span.start}-{citation.span.end}"
    place = f"{short_name(citation.source)}, {citation.place}, {offsets}"
    out.print(f"[{citation.number}] {place} ({citation.grade}{by})", markup=False, style="bold")
    out.print("    " + shortened(citation.quote), markup=False, style="dim")


def print_receipt(receipt: Receipt) -> None:
    usage = receipt.usage
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "searched", f"{receipt.passages:,} passages of {receipt.documents:,} documents, {receipt.hits} found"
    )
    names = ", ".join(f"[{read.number}] {short_name(read.source)} {read.place}" for read in receipt.read)
    amount = f"{receipt.context_tokens:,} of {receipt.budget_tokens:,} tokens"
    table.add_row("read", escape(f"{amount}: {names}" if names else amount))
    if receipt.dropped:
        tokens = sum(drop.tokens for drop in receipt.dropped)
        passages = sum(len(drop.ordinals) for drop in receipt.dropped)
        told = f"{passages} passages, {tokens:,} tokens, {receipt.dropped[0].reason}"
        table.add_row("not read", escape(told))
    if usage:
        table.add_row(
            "model",
            escape(
                f"{receipt.model}: {usage.prompt:,} in, {_cached(receipt)} cached, {usage.completion:,} out"
            ),
        )
    table.add_row(
        "seconds", ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in receipt.seconds.items())
    )
    for warning in receipt.warnings:
        table.add_row("note", escape(warning))
    out.print()
    out.table(table, style="dim")


def print_line(receipt: Receipt) -> None:
    """The receipt in a line, and its notes."""
    blocks = f"{len(receipt.read)} block{'' if len(receipt.read) == 1 else 's'}"
    parts = [f"read {receipt.context_tokens:,} tokens in {blocks}"]
    if usage := receipt.usage:
        parts.append(f"{usage.prompt:,} in, {_cached(receipt)} cached, {usage.completion:,} out")
    parts.append(f"{receipt.seconds['total']:.2f} s")
    out.print("; ".join(parts), markup=False, style="dim")
    for warning in receipt.warnings:
        out.print(warning, markup=False, style="dim")


def _cached(receipt: Receipt) -> str:
    usage = receipt.usage
    return "unknown" if usage is None or usage.cached is None else f"{usage.cached:,}"


def shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= QUOTE_CHARACTERS else flat[: QUOTE_CHARACTERS - 1] + "…"
