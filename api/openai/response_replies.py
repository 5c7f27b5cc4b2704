"""The reply of ``/v1/responses``, as OpenAI's clients read it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from api.openai.replies import About, CachedTokens
from rag.types import Citation

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class PlaceInText(BaseModel):
    type: Literal["url_citation"]
    url: str
    title: str
    start_index: int
    end_index: int


class InputText(BaseModel):
    type: Literal["input_text"]
    text: str


class OutputText(BaseModel):
    type: Literal["output_text"]
    text: str
    annotations: list[PlaceInText]
    logprobs: list[Any]


class OutputMessage(BaseModel):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Status
    content: list[OutputText]


class ReasoningTokens(BaseModel):
    reasoning_tokens: int


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class TextFormat(BaseModel):
    type: Literal["text"]


class TextOptions(BaseModel):
    format: TextFormat


class Response(BaseModel):
    id: str
    object: Literal["response"]
    created_at: int
    status: Status
    model: str
    output: list[OutputMessage]
    instructions: str | None
    max_output_tokens: int | None
    previous_response_id: str | None
    store: bool
    temperature: float | None
    top_p: float | None
    parallel_tool_calls: bool
    tool_choice: str
    tools: list[Any]
    metadata: dict[str, str]
    text: TextOptions
    error: dict[str, str] | None
    incomplete_details: dict[str, str] | None
    usage: ResponseUsage | None
    citations: list[Citation]
    openbook: About
