"""A conversation as the model reads it. Pure.

What was sent stays where it is, under its numbers: a follow-up brings only what has not been read yet, in its own
message. So the messages of a turn begin with those of the turn before it, and the model server's prefix cache holds
all of them. When that no longer fits, or no longer holds, the context is packed anew for the question at hand, and of
the turns before it only the words stay, as many of the last as a share of the room allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rag import prompt
from rag.forgery import harmless
from rag.ports import Message, TokenCounter
from rag.types import Block, Context, Document, Drop, Passage

# Of the room, one part in so many is for the words of earlier turns where the context is packed anew.
WORDS_SHARE = 4
# The chat template around a question and its answer, the hint, and joins between counted pieces.
TURN_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Ref:
    """A block that was sent, without its text: passages ``first`` to ``last`` of a document's revision."""

    number: int
    document_id: str
    revision: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Repack:
    """Why the context was packed anew for a turn. Of the turns before it the words of the last ``kept`` stayed;
    those of ``dropped`` ones, ``tokens`` long, went."""

    reason: str
    kept: int
    dropped: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer, and the blocks that came with it. ``searched_for`` is what the index was asked."""

    question: str
    text: str
    read: tuple[Ref, ...] = ()
    ranking: tuple[int, ...] = ()
    searched_for: str = ""
    repack: Repack | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn as it stands in the prompt."""

    question: str
    text: str
    blocks: tuple[Block, ...] = ()
    ranking: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        return f"{self.question}\n{self.text}"


def standing(turns: Sequence[Turn]) -> tuple[Sequence[Turn], Sequence[Turn]]:
    """The turns of which the words stand in the prompt, and after them those that stand with their blocks."""
    starts = [at for at, turn in enumerate(turns) if turn.repack]
    if not starts:
        return (), turns
    repack = turns[starts[-1]].repack
    return turns[starts[-1] - (repack.kept if repack else 0) : starts[-1]], turns[starts[-1] :]


def spoken(turn: Turn) -> Exchange:
    """Its words alone, without marks: their blocks are gone, and the numbers are given anew."""
    return Exchange(turn.question, without_marks(turn.text))


def without_marks(text: str) -> str:
    for start, end, _ in reversed(list(prompt.marks(text))):
        text = text[:start].rstrip(" ") + text[end:]
    return text


def messages(past: Sequence[Exchange], new: Context, question: str, instructions: str = "") -> list[Message]:
    """``instructions`` stand with the last question alone: what is new is read anew in any case."""
    system, last = prompt.messages(new, question, instructions)
    return [system, *(message for each in past for message in _said(each)), last]


def _said(exchange: Exchange) -> Iterator[Message]:
    context = Context(exchange.blocks, (), 0, 0, exchange.ranking)
    yield prompt.messages(context, exchange.question)[1]
    yield Message("assistant", harmless(exchange.text))


def appended(sent: Sequence[Block], fresh: Context) -> Context:
    """Of a context that was packed for the question alone, what has not been sent: blocks with the next numbers."""
    holder = _holder(sent)
    number = max((block.number for block in sent), default=0)
    blocks = []
    for block in fresh.blocks:
        for passages in _unsent(block, holder):
            number += 1
            blocks.append(Block(number, block.document, passages))
    holder |= _holder(blocks)
    by_number = {block.number: block for block in fresh.blocks}
    ranked = (holder[_place(p)] for ranked in fresh.ranking for p in by_number[ranked].passages)
    return replace(
        fresh, blocks=tuple(blocks), drops=_unread(fresh.drops, sent), ranking=tuple(dict.fromkeys(ranked))
    )


def _place(passage: Passage) -> tuple[str, int]:
    return passage.document_id, passage.ordinal


def _holder(blocks: Sequence[Block]) -> dict[tuple[str, int], int]:
    return {_place(passage): block.number for block in blocks for passage in block.passages}


def _unsent(block: Block, holder: Mapping[tuple[str, int], int]) -> Iterator[tuple[Passage, ...]]:
    for is_sent, run in groupby(block.passages, key=lambda passage: _place(passage) in holder):
        if not is_sent:
            yield tuple(run)


def _unread(drops: Sequence[Drop], sent: Sequence[Block]) -> tuple[Drop, ...]:
    """Without what an earlier turn has brought."""
    known = {_place(passage): passage.tokens for block in sent for passage in block.passages}
    left = []
    for drop in drops:
        there = [ordinal for ordinal in drop.ordinals if (drop.document_id, ordinal) in known]
        rest = tuple(ordinal for ordinal in drop.ordinals if ordinal not in there)
        if rest:
            tokens = drop.tokens - sum(known[drop.document_id, ordinal] for ordinal in there)
            left.append(replace(drop, ordinals=rest, tokens=tokens))
    return tuple(left)


def last_that_fit(turns: Sequence[Turn], tokens: TokenCounter, share: int) -> tuple[int, Repack]:
    """How many tokens the words of the last turns take that fit into ``share``, and what that keeps and drops."""
    sizes = [size + TURN_TOKENS for size in tokens.count([spoken(turn).words for turn in turns])]
    kept = taken = 0
    for size in reversed(sizes):
        if taken + size > share:
            break
        kept, taken = kept + 1, taken + size
    return taken, Repack("", kept, len(turns) - kept, sum(sizes) - taken)


def size_of_words(past: Sequence[Exchange], tokens: TokenCounter) -> int:
    return sum(size + TURN_TOKENS for size in tokens.count([each.words for each in past]))


def size_of_blocks(messages: Sequence[Sequence[Block]], tokens: TokenCounter) -> int:
    """Of the blocks of each message, as the packing counts them: passages, and a heading at its widest above each
    block."""
    headings = [heading for blocks in messages for heading in _widest_headings(blocks)]
    return sum(block.tokens for blocks in messages for block in blocks) + sum(tokens.count(headings))


def _widest_headings(blocks: Sequence[Block]) -> Iterator[str]:
    named: str | None = None
    for block in blocks:
        first, again = prompt.widest_headings(block.document, block.passages)
        yield again if block.document.id == named else first
        named = block.document.id


def refs(blocks: Sequence[Block]) -> tuple[Ref, ...]:
    return tuple(
        Ref(b.number, b.document.id, b.document.revision, b.passages[0].ordinal, b.passages[-1].ordinal)
        for b in blocks
    )


def block_of(ref: Ref, document: Document, passages: Sequence[Passage]) -> Block | None:
    """The block as it was sent; None where its document has changed."""
    ordinals = [passage.ordinal for passage in passages]
    if document.revision != ref.revision or ordinals != [*range(ref.first, ref.last + 1)]:
        return None
    return Block(ref.number, document, tuple(passages))
