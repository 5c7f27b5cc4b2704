"""What is read for a question within its conversation: what was read before and what is new, or all of it anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rag import conversation, filters
from rag.conversation import Exchange, Repack, Turn
from rag.gather import Budget, Counted, gather
from rag.ports import Message, Reader, TokenCounter
from rag.types import Block, Context, Hit, Question


@dataclass(frozen=True, slots=True)
class Grown:
    """``context`` is all that the model reads; ``new`` the part of it that comes with the question. ``past`` are the
    turns before it as they stand in the prompt."""

    question: Question
    searched_for: str
    context: Context
    new: Context
    past: tuple[Exchange, ...] = ()
    repack: Repack | None = None

    def messages(self) -> list[Message]:
        return conversation.messages(self.past, self.new, self.question.text)

    def turn(self, text: str) -> Turn:
        return Turn(
            self.question.text,
            text,
            conversation.refs(self.new.blocks),
            self.new.ranking,
            self.searched_for,
            self.repack,
        )

    def notes(self) -> Iterator[str]:
        """What the receipt says of it."""
        if self.searched_for != self.question.text:
            yield f"Searched for: {self.searched_for}"
        if self.repack:
            yield f"The context was packed anew: {self.repack.reason}."
            if self.repack.dropped:
                yield f"Earlier turns left out: {self.repack.dropped}, {self.repack.tokens:,} tokens."


def grow(
    index: Reader,
    question: Question,
    searched_for: str,
    hits: Sequence[Hit],
    turns: Sequence[Turn],
    budget: Budget,
    tokens: TokenCounter,
) -> Grown:
    fresh = gather(index, question, hits, budget.documents, tokens)
    if not turns:
        return Grown(question, searched_for, fresh, fresh)
    past = _recalled(index, question, turns, tokens)
    if isinstance(past, str):
        return _repacked(index, question, searched_for, hits, turns, budget, tokens, past)
    sent = [block for each in past for block in each.blocks]
    new = conversation.appended(sent, fresh)
    blocks = (*sent, *new.blocks)
    room = budget.room - conversation.size_of_words(past, tokens)
    most = min(room, question.max_context_tokens or room)
    size = conversation.size_of_blocks(blocks, tokens)
    if size > most:
        why = "with what was read before it would be too long"
        return _repacked(index, question, searched_for, hits, turns, budget, tokens, why)
    context = replace(new, blocks=blocks, tokens=size, budget=most)
    return Grown(question, searched_for, context, new, tuple(past))


def _repacked(
    index: Reader,
    question: Question,
    searched_for: str,
    hits: Sequence[Hit],
    turns: Sequence[Turn],
    budget: Budget,
    tokens: TokenCounter,
    why: str,
) -> Grown:
    taken, trimmed = conversation.last_that_fit(turns, tokens, budget.room // conversation.WORDS_SHARE)
    context = gather(index, question, hits, min(budget.documents, budget.room - taken), tokens)
    past = tuple(map(conversation.spoken, turns[len(turns) - trimmed.kept :]))
    return Grown(question, searched_for, context, context, past, replace(trimmed, reason=why))


def _recalled(
    index: Reader, question: Question, turns: Sequence[Turn], tokens: TokenCounter
) -> list[Exchange] | str:
    """The turns that stand in the prompt, with the text of their blocks; or why they cannot stand any more."""
    words, full = conversation.standing(turns)
    ids = sorted({ref.document_id for turn in full for ref in turn.read})
    documents = {document.id: document for document in index.documents(ids)} if ids else {}
    if not all(filters.admits(question.among, document) for document in documents.values()):
        return "what was read before is not among what is asked about"
    counted = Counted(index, tokens)
    exchanges = [conversation.spoken(turn) for turn in words]
    for turn in full:
        blocks: list[Block] = []
        for ref in turn.read:
            document = documents.get(ref.document_id)
            passages = counted.read(document, (ref.first, ref.last)) if document else []
            block = conversation.block_of(ref, document, passages)
            if block is None:
                return (
                    f"{document.name} has changed since it was read"
                    if document
                    else "a document that was read before is gone, or not in the collections asked about"
                )
            blocks.append(block)
        exchanges.append(Exchange(turn.question, turn.text, tuple(blocks), turn.ranking))
    return exchanges
