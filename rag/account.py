"""What an answer says of itself: the receipt, and where nothing was found, what was searched. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rag import cite, prompt
from rag.plan import Plan
from rag.question import Question
from rag.reply import Reply
from rag.repository import Repository, commit_of
from rag.stages import Stages
from rag.types import Answer, Block, Context, Hit, Miss, PassedOver, Read, Receipt, Searched

NEAREST, QUOTED = 3, 200  # misses that are told, and characters of each


def receipt(question: Question, size: tuple[int, int], plan: Plan, exact_tokens: bool) -> Receipt:
    """Before the model is asked."""
    context = plan.context
    estimated = () if exact_tokens else ("Token counts are estimates: the model's tokenizer is unknown.",)
    return Receipt(
        collection=", ".join(question.collections),
        documents=size[0],
        passages=size[1],
        hits=len(plan.hits),
        read=tuple(map(read_of, context.blocks)),
        dropped=plan.drops,
        context_tokens=context.tokens,
        budget_tokens=context.budget,
        model=plan.server.model.name,
        usage=None,
        warnings=(*estimated, *plan.notes()),
        predicted_cached=plan.prompt.cached,
        predicted_s=plan.seconds,
        target_s=plan.target_s,
    )


def by(receipt: Receipt, name: str, instead_of: Sequence[PassedOver]) -> Receipt:
    """With who answers, instead of whom."""
    notes = (f"{each.name} is down, so {name} answered: {each.why}" for each in instead_of)
    return replace(
        receipt, answered_by=name, passed_over=tuple(instead_of), warnings=(*receipt.warnings, *notes)
    )


def answered(
    question: Question,
    reply: Reply,
    context: Context,
    hits: Sequence[Hit],
    receipt: Receipt,
    stages: Stages,
    repositories: Sequence[Repository] = (),
) -> Answer:
    """The reply with its citations, or what was searched in vain. ``repositories`` are those of the collections."""
    text = reply.text.strip()
    found = bool(text) and not prompt.says_not_found(text)
    with stages("cite"):
        citations, unsupported = cite.resolve(text, context.blocks) if found else ((), ())
    return Answer(
        question=question.text,
        text=text,
        answerable=found,
        reason=None if found else "The model found no answer in what it read.",
        citations=tuple(replace(each, commit=commit_of(repositories, each.source)) for each in citations),
        unsupported=unsupported,
        finish_reason=reply.last.finish_reason,
        receipt=replace(
            receipt,
            usage=reply.usage,
            predicted_cached=reply.predicted_cached,
            seconds=stages.snapshot(),
            warnings=(*receipt.warnings, *dict.fromkeys(stages.notes), *_warnings(reply.last.finish_reason)),
        ),
        searched=None if found else _searched(question, receipt, context, hits),
    )


def nothing_read(
    question: Question, context: Context, hits: Sequence[Hit], receipt: Receipt, stages: Stages
) -> Answer:
    """An answer without asking the model."""
    where = ", ".join(map(repr, question.collections))
    filtered = " that the filter admits" if question.among else ""
    reason = (
        f"Nothing in collection {where}{filtered} matches the question."
        if receipt.hits == 0
        else f"No passage fits a budget of {receipt.budget_tokens} tokens."
    )
    return Answer(
        question=question.text,
        text=prompt.NOT_FOUND,
        answerable=False,
        reason=reason,
        citations=(),
        unsupported=(),
        finish_reason=None,
        receipt=replace(
            receipt, seconds=stages.snapshot(), warnings=(*receipt.warnings, *dict.fromkeys(stages.notes))
        ),
        searched=_searched(question, receipt, context, hits),
    )


def _searched(question: Question, receipt: Receipt, context: Context, hits: Sequence[Hit]) -> Searched:
    read = {p.at for block in context.blocks for p in block.passages}
    return Searched(
        collections=question.collections,
        among=question.among,
        documents=receipt.documents,
        passages=receipt.passages,
        found=receipt.hits,
        tokens_read=receipt.context_tokens,
        nearest=tuple(_miss(hit, hit.passage.at in read) for hit in hits[:NEAREST]),
    )


def _miss(hit: Hit, read: bool) -> Miss:
    document, passage = hit.document, hit.passage
    return Miss(
        document.id, document.source, document.title, passage.place(passage.span),
        " ".join(passage.text[:QUOTED].split()), hit.score, read,
    )  # fmt: skip


def _warnings(finish_reason: str | None) -> Iterator[str]:
    if finish_reason == "repetition":
        yield "The model began to repeat itself; the answer was cut there."
    if finish_reason == "length":
        yield "The answer reached its limit of tokens and may be cut short (max_answer_tokens)."


def read_of(block: Block) -> Read:
    """A block without its words."""
    document = block.document
    return Read(
        block.number, document.id, document.source, document.title, block.place, block.span, block.tokens
    )
