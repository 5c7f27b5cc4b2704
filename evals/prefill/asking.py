"""The systems that are asked, each answer with its cost: openbook by its own flow, and those it is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evals.baseline import BETWEEN, LlamaIndex, Node, prompted, reading
from evals.corpus import COLLECTION
from evals.generation import timed
from evals.prefill.contextpilot import ContextPilot
from evals.systems import Extract, Openbook, Reading
from rag.ports import Message
from rag.question import Question
from rag.types import Answer, Passage, Read, Receipt, Usage


@dataclass(frozen=True, slots=True)
class Asked:
    """``ttft`` is in seconds from the request to the model server to its first text; ``usage`` the server's count, None
    where it was not asked. ``predicted_s`` and ``predicted_cached`` are what the receipt foretold."""

    reading: Reading
    text: str
    ttft: float
    usage: Usage | None
    predicted_s: float | None = None
    predicted_cached: int | None = None


class Asker(Protocol):
    """Reads so many tokens of documents as it was made for."""

    @property
    def name(self) -> str: ...
    async def ask(self, question: str, answer_tokens: int, conversation: str | None = None) -> Asked:
        """Questions of one ``conversation`` come in turn."""
        ...


@dataclass(frozen=True, slots=True)
class AskOpenbook:
    """The engine's own limits say how much it reads: a question that says so bounds all of its conversation."""

    system: Openbook
    name: str = field(default="openbook", init=False)
    _conversations: dict[str, str] = field(default_factory=dict, init=False)

    async def ask(self, question: str, answer_tokens: int, conversation: str | None = None) -> Asked:
        asked = Question(
            question,
            COLLECTION,
            max_answer_tokens=answer_tokens,
            conversation=self._conversation(conversation),
        )
        answer = await self.system.rag.answer(asked)
        return await asyncio.to_thread(self._asked, answer)

    def _conversation(self, key: str | None) -> str | None:
        if key is not None and key not in self._conversations:
            self._conversations[key] = self.system.rag.conversations.create().id
        return self._conversations[key] if key is not None else None

    def _asked(self, answer: Answer) -> Asked:
        receipt, seconds = answer.receipt, answer.receipt.seconds
        return Asked(
            self._read(receipt),
            answer.text if answer.answerable else "",
            seconds.get("first_token", seconds.get("generate", 0.0)),
            receipt.usage,
            receipt.predicted_s,
            receipt.predicted_cached,
        )

    def _read(self, receipt: Receipt) -> Reading:
        """What the model has read, not what would be read now: that may depend on what is cached."""
        index = self.system.rag.store.open(COLLECTION)
        passages = {id_: index.read(id_) for id_ in {read.document_id for read in receipt.read}}
        extracts = (self._extract(read, passages[read.document_id]) for read in receipt.read)
        return Reading(tuple(extracts), receipt.context_tokens)

    def _extract(self, read: Read, passages: Sequence[Passage]) -> Extract:
        within = [p for p in passages if read.span.start <= p.start and p.end <= read.span.end]
        pages = frozenset(p.page for p in within if p.page is not None)
        return Extract(self.system.named(read.source), "".join(p.text for p in within), pages)


@dataclass(frozen=True, slots=True)
class AskLlamaIndex:
    """A follow-up is asked as its ContextChatEngine does: what is retrieved for it stands before all turns."""

    system: LlamaIndex
    budget: int
    name: str = field(default="llama-index", init=False)
    _turns: dict[str, list[Message]] = field(default_factory=dict, init=False)

    async def ask(self, question: str, answer_tokens: int, conversation: str | None = None) -> Asked:
        nodes = await asyncio.to_thread(self.system.chosen, question, self.budget)
        if conversation is None:
            messages = prompted([node.sent for node in nodes], question)
        else:
            turns = self._turns.setdefault(conversation, [])
            turns.append(Message("user", question))
            messages = [_context(nodes), *turns]
        asked = await _asked(self.system, nodes, messages, answer_tokens)
        if conversation is not None:
            self._turns[conversation].append(Message("assistant", asked.text))
        return asked


@dataclass(frozen=True, slots=True)
class AskContextPilot:
    """What llama-index retrieves, in ContextPilot's order; a follow-up goes on with the turns before it, without the
    nodes that they hold. Otherwise as llama-index."""

    system: LlamaIndex
    budget: int
    pilot: ContextPilot
    name: str = field(default="contextpilot", init=False)
    _turns: dict[str, list[Message]] = field(default_factory=dict, init=False)

    async def ask(self, question: str, answer_tokens: int, conversation: str | None = None) -> Asked:
        nodes = await asyncio.to_thread(self.system.chosen, question, self.budget)
        numbers = [self.system.nodes.index(node) for node in nodes]
        order, hints = await self.pilot.arrange(numbers, conversation)
        texts = [*(self.system.nodes[number].sent for number in order), *hints]
        system, *user = prompted(texts, question)
        turns = self._turns.setdefault(conversation, []) if conversation is not None else []
        asked = await _asked(self.system, nodes, [system, *turns, *user], answer_tokens)
        turns += [*user, Message("assistant", asked.text)]
        return asked


def _context(nodes: Sequence[Node]) -> Message:
    from llama_index.core.chat_engine.context import DEFAULT_CONTEXT_TEMPLATE

    text = DEFAULT_CONTEXT_TEMPLATE.format(context_str=BETWEEN.join(node.sent for node in nodes))
    return Message("system", text)


async def _asked(
    system: LlamaIndex, nodes: Sequence[Node], messages: Sequence[Message], answer_tokens: int
) -> Asked:
    said = await timed(system.rag, messages, answer_tokens)
    return Asked(reading(nodes), said.text, said.ttft, said.usage)
