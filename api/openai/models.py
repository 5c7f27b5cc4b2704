"""``/v1/models``: what can be asked for by which name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel

from api.openai import names, raw
from api.openai.errors import ERRORS
from api.routes import EngineOf
from api.rules import needs
from rag.compose import Engine
from rag.errors import ModelError

router = APIRouter(prefix="/v1/models", responses=ERRORS)


class Model(BaseModel):
    """``max_model_len`` in tokens, where it is known: of the model server's model its window, of an embedder what it
    reads of a text."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "openbook"
    max_model_len: int | None = None


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@router.get("", summary="Collections, joined ones, the model server's model, the embedder and the reranker")
@needs("read", "ask")
async def models(engine: EngineOf) -> ModelList:
    return ModelList(data=[model async for model in _listed(engine)])


@router.get("/{model:path}", summary="One of them; also more collections joined than are listed")
@needs("read", "ask")
async def model(model: Annotated[str, Path(max_length=2000)], engine: EngineOf) -> Model:
    if named := names.parse(model):
        if named.model:
            await engine.rag.models.named(named.model)
        await asyncio.to_thread(engine.rag.reading, named.collections, lambda _index: None)
        return Model(id=model)
    async for each in _listed(engine):
        if each.id == model:
            return each
    raise raw.no_such_model(model)


async def _listed(engine: Engine) -> AsyncIterator[Model]:
    """The first model by its server's name, without it where that does not answer; further ones by their own."""
    first, *further = engine.rag.models
    collections = await asyncio.to_thread(engine.rag.store.names)
    for name in names.listed(collections, [each.name for each in engine.rag.models] if further else ()):
        yield Model(id=name)
    for each in (first, *further):
        try:
            served = await each.generator.model()
        except ModelError:
            continue
        id_ = served.name if each is first else each.name
        yield Model(id=id_, owned_by="model server", max_model_len=served.window)
    embedder = engine.embedder
    yield Model(id=embedder.name, max_model_len=await asyncio.to_thread(lambda: embedder.max_tokens))
    if reranker := engine.rag.reranker:
        with suppress(ModelError):  # a server that does not answer
            yield Model(id=await asyncio.to_thread(lambda: reranker.name))
