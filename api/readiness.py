"""Whether questions can be answered now: each part is asked once, all at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import Request

from api.model_states import states
from api.replies import ModelState
from api.schemas import Check
from rag.compose import Engine
from rag.errors import RagError


@dataclass(frozen=True, slots=True)
class Health:
    """The first of ``models`` is that of the role answer; those of ``fallback`` answer in its place."""

    embedder: Check
    store: Check
    models: tuple[ModelState, ...]
    fallback: tuple[str, ...]

    @property
    def ready(self) -> bool:
        first, *others = self.models
        answers = first.ok or any(each.ok for each in others if each.name in self.fallback)
        return self.embedder.ok and self.store.ok and answers

    @property
    def checks(self) -> dict[str, Check]:
        names = ["model", *(f"model {each.name}" for each in self.models[1:])]
        models = {
            name: Check(ok=each.ok, detail=each.detail) for name, each in zip(names, self.models, strict=True)
        }
        return {"embedder": self.embedder, "store": self.store, **models}


async def health(engine: Engine, request: Request) -> Health:
    embedder, store, models = await asyncio.gather(_embedder(engine, request), _store(engine), states(engine))
    return Health(embedder, store, models, tuple(engine.rag.models.fallback))


async def _embedder(engine: Engine, request: Request) -> Check:
    loading, name = request.state.loading, engine.rag.embedder.name
    if not loading.done():
        return Check(ok=False, detail=f"loading {name}")
    error = loading.exception()
    why = str(error) if error else await request.state.embedder_state.why_down()
    return Check(ok=not why, detail=why or name)


async def _store(engine: Engine) -> Check:
    try:
        names = await asyncio.to_thread(engine.rag.store.names)
    except RagError as error:
        return Check(ok=False, detail=str(error))
    return Check(ok=True, detail=f"{len(names)} collections")
