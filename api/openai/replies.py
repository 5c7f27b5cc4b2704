"""Replies as OpenAI's clients read them; ``citations`` and ``openbook`` are openbook's own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rag import wire
from rag.types import Answer, Citation, Receipt, Searched, Span


class OwnReply(BaseModel):
    """The model server's own, of its own model: as it is."""

    model_config = ConfigDict(extra="allow")


class CachedTokens(BaseModel):
    cached_tokens: int


class TokenUsage(BaseModel):
    """``prompt_tokens_details`` is missing where the server does not say how much of the prompt it had cached."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: CachedTokens | None = None


class About(BaseModel):
    """What an answer says of itself; ``ignored`` are fields of the request that had no effect."""

    answerable: bool
    reason: str | None
    unsupported: list[Span]
    searched: Searched | None
    receipt: Receipt
    ignored: list[str]


class UrlCitation(BaseModel):
    url: str
    title: str
    start_index: int
    end_index: int


class Annotation(BaseModel):
    type: Literal["url_citation"]
    url_citation: UrlCitation


class ReplyMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: str | None = None
    annotations: list[Annotation]


class Choice(BaseModel):
    index: int
    message: ReplyMessage
    finish_reason: str
    logprobs: None = None


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage
    citations: list[Citation]
    openbook: About


def usage_of(answer: Answer) -> dict[str, Any]:
    """Zero where no model was asked."""
    usage = answer.receipt.usage
    if usage is None:
        return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    counts: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }
    if usage.cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    return counts


def own(answer: Answer, ignored: tuple[str, ...]) -> dict[str, Any]:
    """The fields beside those of OpenAI."""
    told = wire.dump(answer)
    about = {name: told[name] for name in ("answerable", "reason", "unsupported", "searched", "receipt")}
    return {"citations": told["citations"], "openbook": about | {"ignored": list(ignored)}}
