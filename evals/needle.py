"""Needles: facts that stand nowhere else, put into the user's own documents and asked of the served model.

How much of a long context a model really reads differs by its length and by where in it a fact stands
(Kamradt, Needle In A Haystack, 2023; Liu et al., Lost in the Middle, TACL 2024).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from rich.table import Table

from evals.bootstrap import Score
from evals.generation import complete, reserve
from evals.metrics import contains
from evals.progress import Begin
from evals.report import Outcome
from rag import prompt
from rag.answer import Rag
from rag.errors import BadRequest
from rag.gather import TEMPLATE_TOKENS
from rag.types import Block, Context, Document, Passage

OPENBOOK = "openbook"
_COLOURS = "amber azure copper crimson emerald indigo ivory jade ochre scarlet silver teal".split()
_THINGS = "anchor beacon bridge compass fountain lantern mill orchard quarry tower vault windmill".split()


@dataclass(frozen=True, slots=True)
class Needle:
    sentence: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Sheaf:
    """Of the hay: a document's passages from the first on. ``heading`` and theirs are tokens of the served model."""

    document: Document
    passages: tuple[Passage, ...]
    heading: int

    @property
    def tokens(self) -> int:
        return self.heading + sum(passage.tokens for passage in self.passages)


def needle(seed: int, number: int) -> Needle:
    """The same for the same seed and number; its five digits are hardly those of another."""
    chosen = random.Random(f"{seed}/{number}")
    name = f"{chosen.choice(_COLOURS)} {chosen.choice(_THINGS)}"
    code = str(chosen.randrange(10_000, 100_000))
    return Needle(
        f"The inspection number of the {name} is {code}.",
        f"What is the inspection number of the {name}?",
        code,
    )


def measure(length: int, depth: int) -> str:
    return f"{length} tokens, {depth} %"


async def evaluate(
    rag: Rag,
    collection: str,
    lengths: Sequence[int],
    depths: Sequence[int],
    count: int,
    seed: int,
    begin: Begin,
) -> tuple[dict[str, dict[str, Score]], dict[str, str], list[str]]:
    """By case, whether the needle was found; what was said; and notes on lengths that were left out."""
    model = await rag.generator.model()
    needles = [needle(seed, number) for number in range(count)]
    longest = max(rag.tokens.count([f"{each.sentence}\n{each.question}" for each in needles]))
    fixed = sum(rag.tokens.count([prompt.SYSTEM])) + longest + TEMPLATE_TOKENS
    room = model.window - await reserve(rag) - fixed
    hay = await asyncio.to_thread(_gathered, rag, collection, max(lengths))
    there = sum(sheaf.tokens for sheaf in hay)
    notes = [
        f"{n} tokens are more than the window of {model.name} leaves ({room})." for n in lengths if n > room
    ]
    notes += [f"{n} tokens are more than {collection} holds ({there})." for n in lengths if room >= n > there]
    cells = [(n, depth) for n in lengths if n <= min(room, there) for depth in depths]
    done = begin("needles", len(cells) * count)
    found: dict[str, dict[str, Score]] = {}
    said: dict[str, str] = {}
    for length, depth in cells:
        for number, asked in enumerate(needles):
            blocks = with_needle(cut(hay, length), asked.sentence, depth)
            context = Context(tuple(blocks), (), length, length)
            id_ = f"{length}/{depth}/{number}"
            said[id_] = await complete(rag, prompt.messages(context, asked.question))
            found[id_] = {measure(length, depth): (contains(said[id_], [asked.answer]), 1.0)}
            done(1)
    return found, said, notes


def grid(outcome: Outcome) -> Table:
    """Depth by length: the share of needles that were found."""
    lengths, depths = outcome.about["settings"]["lengths"], outcome.about["settings"]["depths"]
    found = {measure: each for measure, _, each in outcome.figures()}
    made = Table("depth", box=None, header_style="bold", pad_edge=False)
    for length in lengths:
        made.add_column(f"{length:,} tokens", justify="right")
    for depth in depths:
        cells = (found.get(measure(length, depth)) for length in lengths)
        made.add_row(f"{depth} %", *("-" if cell is None else f"{cell.value:.2f}" for cell in cells))
    return made


def _gathered(rag: Rag, collection: str, tokens: int) -> list[Sheaf]:
    """Documents in the order of the catalog until there are so many tokens."""
    index = rag.store.open(collection)
    hay: list[Sheaf] = []
    for document in index.documents():
        if sum(sheaf.tokens for sheaf in hay) >= tokens:
            break
        passages = index.read(document.id)
        heading, *counts = rag.tokens.count(
            [prompt.widest_headings(document, passages)[0], *(passage.text for passage in passages)]
        )
        counted = (replace(passage, tokens=n) for passage, n in zip(passages, counts, strict=True))
        hay.append(Sheaf(document, tuple(counted), heading))
    if not hay:
        raise BadRequest(f"Collection {collection!r} holds no text.", "Ingest something first.")
    return hay


def cut(hay: Sequence[Sheaf], tokens: int) -> list[Sheaf]:
    """The beginning of the hay: as many passages as fit, and one at least."""
    kept: list[Sheaf] = []
    for sheaf in hay:
        tokens -= sheaf.heading
        fitting = [
            n for n, sum_ in enumerate(accumulate(p.tokens for p in sheaf.passages), 1) if sum_ <= tokens
        ]
        count = len(fitting) or (0 if kept else 1)
        if count:
            kept.append(replace(sheaf, passages=sheaf.passages[:count]))
        if count < len(sheaf.passages):
            break
        tokens -= sum(passage.tokens for passage in sheaf.passages)
    return kept


def with_needle(hay: Sequence[Sheaf], sentence: str, depth: int) -> Iterator[Block]:
    """A block for each document; the sentence stands on a line of its own before the passage at ``depth`` percent
    of the tokens, or at the very end."""
    flat = [passage for sheaf in hay for passage in sheaf.passages]
    begins = accumulate((passage.tokens for passage in flat), initial=0)
    wanted = sum(passage.tokens for passage in flat) * depth / 100
    at = next((passage.id for passage, begin in zip(flat, begins, strict=False) if begin >= wanted), None)
    for number, sheaf in enumerate(hay, 1):
        told = [replace(p, text=f"{sentence}\n{p.text}") if p.id == at else p for p in sheaf.passages]
        if at is None and number == len(hay):
            told[-1] = replace(told[-1], text=f"{told[-1].text}\n{sentence}\n")
        yield Block(number, sheaf.document, tuple(told))
