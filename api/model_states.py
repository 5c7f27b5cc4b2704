"""Which models answer now."""

from __future__ import annotations

import asyncio

from api.replies import ModelState
from rag.compose import Engine
from rag.errors import RagError
from rag.ports import ModelInfo
from rag.served import Served

PATIENCE_S = 2.0  # who asks whether all is well does not wait longer either


async def states(engine: Engine) -> tuple[ModelState, ...]:
    """The first is that of the role answer. Returns within PATIENCE_S."""
    return tuple(await asyncio.gather(*(_state(engine, each) for each in engine.rag.models)))


async def _state(engine: Engine, model: Served) -> ModelState:
    try:
        async with asyncio.timeout(PATIENCE_S):
            ok, detail = True, _told(await model.generator.model())
    except RagError as error:
        ok, detail = False, str(error)
    except TimeoutError:
        ok, detail = False, f"It does not answer within {PATIENCE_S:g} s."
    child = engine.children.of(model.name)
    status = child.status if child else None
    return ModelState(
        model.name, ok, detail, status.url if status else None, status.restarts if status else 0
    )


def _told(model: ModelInfo) -> str:
    return f"{model.name}, window {model.window:,} tokens"
