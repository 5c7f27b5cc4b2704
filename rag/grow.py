"""What is read for a question within its conversation: what was read before and what is new, or all of it anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rag import conversation, filters
from rag.conversation import Exchange, Ref, Repack, Turn
from rag.gather import Budget, Counted, Lead, Material
from rag.ports import Message, Reader, TokenCounter
from rag.question import Filter, Question
from rag.types import Block, Context, Document

# Times what a question alone reads: in long prompts models lose the thread, however little these cost.
GROWN = 4
_NOT_AMONG = "what was read before is not among what is asked about"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a conversation with the ``turns`` before it; ``material`` is what may be read for ``searched_for``.
    ``lead``: rag.gather."""

    question: Question
    searched_for: str
    material: Material
    turns: Sequence[Turn] = ()
    lead: Lead | None = None


@dataclass(frozen=True, slots=True)
class Grown:
    """``context`` is all that the model reads; ``new`` the part of it that comes with the question. ``past`` are the
    turns before it as they stand in the prompt."""

    asked: Asked
    context: Context
    new: Context
    past: tuple[Exchange, ...] = ()
    repack: Repack | None = None

    def messages(self) -> list[Message]:
        question = self.asked.question
        return conversation.messages(self.past, self.new, question.text, question.instructions)

    @property
    def new_tokens(self) -> int:
        """Of documents, that come with the question; headings are left out where others came before."""
        return sum(block.tokens for block in self.new.blocks) if self.past else self.context.tokens

    @property
    def first_blocks(self) -> Sequence[Block]:
        """Those right behind the instructions."""
        return self.past[0].blocks if self.past else self.new.blocks

    def turn(self, text: str) -> Turn:
        return Turn(
            self.asked.question.text,
            text,
            conversation.refs(self.new.blocks),
            self.new.ranking,
            self.asked.searched_for,
            self.repack,
        )

    def notes(self) -> Iterator[str]:
        """What the receipt says of it."""
        if self.asked.searched_for != self.asked.question.text:
            yield f"Searched for: {self.asked.searched_for}"
        yield from self.asked.material.pinned.notes(self.context.blocks)
        if self.repack:
            yield f"The context was packed anew: {self.repack.reason}."
            if self.repack.dropped:
                yield f"Earlier turns left out: {self.repack.dropped}, {self.repack.tokens:,} tokens."


class _CannotGoOn(Exception):
    """Why the prompt of the turn before cannot be added to."""


def grow(index: Reader, asked: Asked, budget: Budget, tokens: TokenCounter) -> Grown:
    """The turns before a question with what is new for it, or where that cannot be, its own context and their words."""
    try:
        return _appended(index, asked, budget, tokens)
    except _CannotGoOn as why:
        words, repack = conversation.last_that_fit(
            asked.turns, tokens, budget.room // conversation.WORDS_SHARE
        )
        context = asked.material.context(min(budget.documents, budget.room - words), asked.lead)
        past = tuple(map(conversation.spoken, asked.turns[len(asked.turns) - repack.kept :]))
        return Grown(asked, context, context, past, replace(repack, reason=str(why)))


def _appended(index: Reader, asked: Asked, budget: Budget, tokens: TokenCounter) -> Grown:
    past = _recalled(index, asked, tokens)
    if not past:
        fresh = asked.material.context(budget.documents, asked.lead)
        return Grown(asked, fresh, fresh)
    sent = [block for each in past for block in each.blocks]
    pinned = asked.material.pinned.without({block.document.id for block in sent})
    places = {p.at for block in sent for p in block.passages}
    fresh = replace(asked.material, pinned=pinned).follow_up(budget.documents, places)
    new = conversation.appended(sent, fresh)
    room = budget.room - conversation.size_of_words(past, tokens)
    most = min(room, asked.question.max_context_tokens or GROWN * budget.documents)
    size = conversation.size_of_blocks([*(each.blocks for each in past), new.blocks], tokens)
    if size > most:
        raise _CannotGoOn("with what was read before it would be too long")
    return Grown(asked, replace(new, blocks=(*sent, *new.blocks), tokens=size, budget=most), new, past)


def _recalled(index: Reader, asked: Asked, tokens: TokenCounter) -> tuple[Exchange, ...]:
    """The turns that stand in the prompt, with the text of their blocks as it is now."""
    words, full = conversation.standing(asked.turns)
    if full and not any(turn.read for turn in full):
        raise _CannotGoOn("nothing that was read before is known")
    ids = sorted({ref.document_id for turn in full for ref in turn.read})
    documents = {document.id: document for document in index.documents(ids)} if ids else {}
    if not all(filters.admits(asked.question.among, document) for document in documents.values()):
        raise _CannotGoOn(_NOT_AMONG)
    counted = Counted(index, tokens)
    return (
        *map(conversation.spoken, words),
        *(
            Exchange(
                turn.question,
                turn.text,
                tuple(
                    _block(counted, ref, documents.get(ref.document_id), asked.question.among)
                    for ref in turn.read
                ),
                turn.ranking,
            )
            for turn in full
        ),
    )


def _block(counted: Counted, ref: Ref, document: Document | None, among: Filter) -> Block:
    if document is None:
        raise _CannotGoOn("a document that was read before is gone, or not in the collections asked about")
    passages = counted.read(document, (ref.first, ref.last))
    if not all(filters.admits_passage(among, passage) for passage in passages):
        raise _CannotGoOn(_NOT_AMONG)
    block = conversation.block_of(ref, document, passages)
    if block is None:
        raise _CannotGoOn(f"{document.name} has changed since it was read")
    return block
