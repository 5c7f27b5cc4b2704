"""A request of an OpenAI client to collections, answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from api.openai import citing
from api.openai.names import Named
from api.openai.schemas import Options, given
from api.openai.spoken import Spoken
from rag.answer import Piece, Rag, Reading
from rag.errors import BadParameter
from rag.question import Filter, Question, Sampling
from rag.types import Answer


@dataclass(frozen=True, slots=True)
class Asked:
    """``model`` is what was asked for; ``ignored`` are fields of the request that have no effect."""

    model: str
    question: Question
    spoken: Spoken
    sources: bool
    stream: bool
    ignored: tuple[str, ...] = ()


def asked(
    body: Options, named: Named, spoken: Spoken, sampling: Sampling, most_tokens: int | None, client: str
) -> Asked:
    """Raises BadParameter for what would make another reply than can be given."""
    _refuse(given(body))
    question = Question(
        spoken.question,
        named.collections,
        max_context_tokens=body.max_context_tokens,
        max_answer_tokens=most_tokens,
        sampling=sampling,
        among=body.filter or Filter(),
        policy=body.policy or "auto",
        target_ttft_ms=body.target_ttft_ms,
        client=client,
        instructions=spoken.instructions,
        model=named.model,
    )
    sources = named.sources if body.sources is None else body.sources
    return Asked(body.model, question, spoken, sources, bool(body.stream), tuple(_ignored(given(body))))


async def replies(rag: Rag, asked: Asked) -> AsyncGenerator[str | Answer, None]:
    """The text that the client gets, in pieces where it streams, and then the answer. The first is an empty one, as
    soon as it is known that the question can be answered. Raises what ``Rag.stream`` does."""
    chats = rag.conversations.chats
    chat = chats.begin(asked.question.client, asked.spoken.before)
    sent, begun = "", False
    try:
        async with aclosing(rag.stream(replace(asked.question, conversation=chat.id))) as events:
            async for event in events:
                if isinstance(event, Reading):
                    if not begun:  # another one follows where another model takes over
                        yield ""
                    begun = True
                elif isinstance(event, Piece) and asked.stream:
                    if text := event.text if sent else event.text.lstrip():
                        sent += text
                        yield text
                elif isinstance(event, Answer):
                    if not sent:
                        sent = event.text
                        yield sent
                    if asked.sources:
                        yield citing.source_list(event)
                    yield event
    finally:
        chats.end(chat, asked.spoken.question, sent)


async def whole(rag: Rag, asked: Asked) -> tuple[str, Answer]:
    text = ""
    async with aclosing(replies(rag, asked)) as said:
        async for each in said:
            if isinstance(each, Answer):
                return text, each
            text += each
    raise AssertionError("a stream ends with an answer")


def _refuse(extra: Mapping[str, Any]) -> None:
    # Tools that may be called need not be: clients offer theirs with each question.
    for name, choice in (("tools", "tool_choice"), ("functions", "function_call")):
        if extra.get(name) and extra.get(choice) not in (None, "auto", "none"):
            raise BadParameter(
                "Collections call no tools.",
                f"Leave {choice} out, or ask the model server's own model.",
                parameter=choice,
            )
    for name in ("response_format", "text"):
        wanted = _format(extra.get(name))
        if wanted not in (None, "text"):
            raise BadParameter("Answers are text.", "Leave the format out.", parameter=name)
    for name in ("logprobs", "audio"):
        if extra.get(name):
            raise BadParameter(f"Answers come without {name}.", "Leave it out.", parameter=name)


def _format(wanted: object) -> object:
    """``{"type": ...}`` of chat completions, ``{"format": {"type": ...}}`` of responses."""
    if isinstance(wanted, Mapping):
        inner = wanted.get("format", wanted)
        return inner.get("type") if isinstance(inner, Mapping) else inner
    return wanted


def _ignored(extra: Mapping[str, Any]) -> Iterator[str]:
    return (name[:80] for name in sorted(extra))
