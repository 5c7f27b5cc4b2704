"""Requests as OpenAI's clients send them. What is not named here is taken and, for collections, has no effect; the
reply says so."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import TargetMs, Text
from rag.question import Filter, Policy

MOST_INPUTS, MOST_DOCUMENTS = 2048, 1000
_INT64 = 2**63

Tokens = Annotated[int, Field(ge=1, lt=_INT64)]
Stop = Annotated[Text, Field(min_length=1)]
InputKind = Literal["query", "search_query", "document", "passage", "search_document"]


class Lenient(BaseModel):
    model_config = ConfigDict(extra="allow")


class Part(Lenient):
    type: str = "text"
    text: Text | None = None


class SaidMessage(Lenient):
    role: str
    content: Text | list[Part] | None = None


class StreamOptions(Lenient):
    include_usage: bool | None = None


class Options(Lenient):
    """What is asked of every answer. The fields of the second half are openbook's own: SDKs send them as extra_body."""

    model: Text = Field(
        description="openbook/COLLECTION, openbook/A+B, openbook/COLLECTION@MODEL, or a model server's own model."
    )
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    filter: Filter | None = Field(None, description="Only what it admits is searched and read.")
    policy: Policy | None = Field(None, description="How the context is packed; docs/answers.md.")
    max_context_tokens: Tokens | None = Field(None, description="Most tokens of documents to read.")
    target_ttft_ms: TargetMs | None = Field(None, description="Milliseconds in which the answer begins.")
    sources: bool | None = Field(None, description="End the text with a list of sources, in Markdown.")


class ChatRequest(Options):
    messages: list[SaidMessage] = Field(min_length=1, max_length=10_000)
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    seed: int | None = Field(None, ge=-_INT64, lt=_INT64)
    stop: Stop | list[Stop] | None = None
    n: int | None = None


class InputItem(Lenient):
    type: str = "message"
    role: str | None = None
    content: Text | list[Part] | None = None


class ResponsesRequest(Options):
    input: Text | Annotated[list[InputItem], Field(min_length=1, max_length=10_000)]
    instructions: Text | None = None
    max_output_tokens: Tokens | None = None
    previous_response_id: Text | None = None
    store: bool | None = None


class EmbeddingsRequest(Lenient):
    model: Text
    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
        | Annotated[list[int] | list[list[int]], Field(min_length=1, description="Token ids: refused.")]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    input_type: InputKind | None = Field(
        None, description="Questions and documents may be embedded differently; by default a document."
    )


class RerankDocument(Lenient):
    text: Text


class RerankRequest(Lenient):
    query: Text = Field(min_length=1)
    documents: list[Text | RerankDocument] = Field(min_length=1, max_length=MOST_DOCUMENTS)
    model: Text | None = None
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = None


def given(body: BaseModel) -> dict[str, Any]:
    """What a request has that is not named here."""
    return {name: value for name, value in (body.model_extra or {}).items() if value is not None}
