"""What is read for a question, in which order, and how soon an answer can begin: the context that a target for the
first token affords, given what the server has in its prefix cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rag.choice import OVER_BUDGET
from rag.gather import Budget
from rag.grow import Asked, Grown, grow
from rag.ports import ModelInfo, Reader, TokenCounter
from rag.prefill import Cost
from rag.residency import Prompt, Residency
from rag.text import told_seconds
from rag.types import Block, Context, Drop, Hit

ROUNDS = 6  # a smaller context may find less in the cache, so its cost is looked at again
LEAST_TOKENS = 128  # of documents: a target that affords fewer is not kept


class Costs(Protocol):
    """What prefill costs on the servers that are known. Blocks; safe to use from threads."""

    def current(self, model: ModelInfo) -> Cost | None: ...
    def observe(self, model: ModelInfo, new: int, cached: int, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Server:
    """The model, and what is known of its cache and its speed; ``salt`` as rag.residency has it."""

    model: ModelInfo
    residency: Residency
    cost: Cost | None = None
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """``seconds`` to the first token are predicted where the server's speed is known; ``affordable`` tokens of
    documents were all that ``target_s`` let be read, where that was less than the budget."""

    grown: Grown
    prompt: Prompt
    server: Server
    target_s: float | None = None
    affordable: int | None = None

    @property
    def context(self) -> Context:
        return self.grown.context

    @property
    def hits(self) -> Sequence[Hit]:
        return self.grown.asked.material.hits

    @property
    def begun(self) -> Sequence[Block]:
        """The blocks behind the instructions and what is pinned."""
        pinned = self.grown.asked.material.pinned.ids
        return [block for block in self.grown.first_blocks if block.document.id not in pinned]

    @property
    def cached(self) -> int:
        return self.prompt.cached or 0

    @property
    def new(self) -> int:
        """Tokens that are to be prefilled; where the prompt is sent as text, the context's."""
        tokens = self.prompt.tokens
        return self.context.tokens if tokens is None else tokens - self.cached

    @property
    def seconds(self) -> float | None:
        return self.server.cost.seconds(self.new, self.cached) if self.server.cost else None

    @property
    def over(self) -> int:
        """How many tokens more than the target affords."""
        if self.server.cost is None or self.target_s is None:
            return 0
        return self.new - self.server.cost.affordable(self.target_s, self.cached)

    def notes(self) -> Iterator[str]:
        yield from self.grown.notes()
        if self.target_s is not None and self.seconds is None:
            yield "The target for the first token has no effect: the model server's speed is not known yet."
        elif self.target_s is not None and self.seconds is not None and self.seconds > self.target_s:
            took, target = told_seconds(self.seconds), told_seconds(self.target_s)
            yield f"The first token is predicted after {took}; the target was {target}."

    @property
    def drops(self) -> tuple[Drop, ...]:
        """With what the target left out told from what the budget did."""
        drops = self.context.drops
        if self.affordable is None or self.target_s is None:
            return drops
        reason = f"not affordable within {told_seconds(self.target_s)} to the first token"
        return tuple(replace(drop, reason=reason) if drop.reason == OVER_BUDGET else drop for drop in drops)


def plan(
    index: Reader, asked: Asked, budget: Budget, tokens: TokenCounter, server: Server, target_s: float | None
) -> Plan:
    """Reads less where the target wants it, as long as there is anything to leave out."""

    def of(documents: int) -> Plan:
        grown = grow(index, asked, replace(budget, documents=documents), tokens)
        prompt = server.residency.prompt(server.model, grown.messages(), grown.first_blocks, server.salt)
        return Plan(grown, prompt, server, target_s)

    left, made = budget.documents, of(budget.documents)
    for _ in range(ROUNDS):
        if made.over <= 0 or left <= LEAST_TOKENS:
            break
        left = max(LEAST_TOKENS, min(left, made.grown.new_tokens) - made.over)
        made = of(left)
    return made if left == budget.documents else replace(made, affordable=left)
