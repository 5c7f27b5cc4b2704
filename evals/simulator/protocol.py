"""What is asked of an OpenAI-compatible server, and how it is answered, in the parts that vLLM's clients read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from evals.simulator.engine import Request


class StreamOptions(BaseModel):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class Asked(BaseModel):
    """What both kinds of request have. ``reply_ids`` is the simulator's own: the tokens to answer with, so that what
    another server generated can be played again."""

    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    cache_salt: str | None = Field(None, min_length=1)
    return_token_ids: bool = False
    reply_ids: list[int] | None = Field(None, min_length=1)


class CompletionAsked(Asked):
    prompt: str | list[int] = Field(min_length=1)
    max_tokens: int | None = Field(16, ge=1)


class ChatAsked(Asked):
    messages: list[dict[str, Any]] = Field(min_length=1)
    chat_template_kwargs: dict[str, Any] = {}


class TokenizeAsked(BaseModel):
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of answer is written: the prefix of its id, its kinds, whole and in pieces."""

    prefix: str
    kind: str
    piece_kind: str
    whole: Callable[[str], dict[str, Any]]
    piece: Callable[[str], dict[str, Any]]
    opening: dict[str, Any] | None = None


COMPLETION = Form(
    "cmpl", "text_completion", "text_completion", lambda text: {"text": text}, lambda text: {"text": text}
)
CHAT = Form(
    "chatcmpl",
    "chat.completion",
    "chat.completion.chunk",
    lambda text: {"message": {"role": "assistant", "content": text}},
    lambda text: {"delta": {"content": text}},
    {"role": "assistant", "content": ""},
)


def finish_reason(request: Request) -> str | None:
    if not request.finished:
        return None
    return "stop" if request.wanted == len(request.reply) else "length"


def usage(request: Request) -> dict[str, Any]:
    prompt, completion = len(request.ids), len(request.generated)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": request.cached},
    }
