"""The REST path that gives what would be read for a question, for a program that asks a model of its own."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from pydantic import Field

from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import Request, Text
from rag.account import read_of
from rag.question import Filter, Policy, Question
from rag.types import Drop, Read

router = APIRouter()


class ContextRequest(Request):
    question: Text
    collection: str | list[str] = "default"
    filter: Filter = Field(default_factory=Filter)
    policy: Policy = "auto"
    max_context_tokens: int | None = Field(None, ge=1, description="By default as the server is set.")


@dataclass(frozen=True, slots=True)
class ContextBlock:
    """Consecutive passages of one document: where they stand, and their words."""

    read: Read
    text: str


@dataclass(frozen=True, slots=True)
class ContextReply:
    """Blocks as they would stand in a prompt; ``tokens`` of at most ``budget``."""

    blocks: tuple[ContextBlock, ...]
    dropped: tuple[Drop, ...]
    tokens: int
    budget: int


@router.post(
    "/v1/context",
    responses=problems_of(404, 409, 413, 422, 503),
    summary="What would be read for a question, without asking a model",
)
@needs("read")
async def context(body: ContextRequest, engine: EngineOf) -> ContextReply:
    collection = body.collection if isinstance(body.collection, str) else tuple(body.collection)
    made = await engine.rag.read(
        Question(
            body.question,
            collection,
            max_context_tokens=body.max_context_tokens,
            among=body.filter,
            policy=body.policy,
        )
    )
    blocks = tuple(ContextBlock(read_of(block), block.text) for block in made.blocks)
    return ContextReply(blocks, made.drops, made.tokens, made.budget)
