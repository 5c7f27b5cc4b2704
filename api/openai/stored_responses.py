"""``/v1/responses/{id}``: a response that was stored is fetched again, with what it was asked, or forgotten. Whose past
answers are seen sees these, too."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.openai import kept
from api.openai.errors import ERRORS
from api.openai.response_replies import InputText, OutputText, Response
from api.routes import EngineOf
from api.rules import needs
from api.schemas import Text
from rag.answers import Answers
from rag.errors import BadParameter, NotFound
from rag.types import Answer

router = APIRouter(prefix="/v1/responses/{id_}", responses=ERRORS)

Id = Annotated[Text, Path(max_length=100, description="The id of the response.")]


class Deleted(BaseModel):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class Item(BaseModel):
    """A message as it was sent."""

    id: str
    type: Literal["message"]
    role: str
    status: Literal["completed"]
    content: list[InputText | OutputText]


class ItemList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.get("", response_model=Response, summary="A stored response")
@needs("ask")
async def retrieve(
    id_: Id,
    engine: EngineOf,
    stream: Annotated[bool, Query(description="Refused: what is stored is sent whole.")] = False,
) -> Any:
    if stream:
        raise BadParameter(
            "A stored response is sent whole, not as a stream.", "Leave stream out.", parameter="stream"
        )
    return JSONResponse(await asyncio.to_thread(lambda: kept.reply_of(*_found(engine.rag.answers, id_))))


@router.get("/input_items", summary="The messages of a stored response's request")
@needs("ask")
async def input_items(
    id_: Id,
    engine: EngineOf,
    order: Literal["asc", "desc"] = "desc",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[Text, Query(description="Id of the item after which to go on.")] = "",
) -> ItemList:
    around, _ = await asyncio.to_thread(_found, engine.rag.answers, id_)
    items = kept.input_items(around)[:: 1 if order == "asc" else -1]
    ids = [each["id"] for each in items]
    if after and after not in ids:
        raise BadParameter(f"The response has no item {after[:80]!r}.", parameter="after")
    begin = ids.index(after) + 1 if after else 0
    shown = [Item.model_validate(each) for each in items[begin : begin + limit]]
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return ItemList(data=shown, first_id=first, last_id=last, has_more=begin + limit < len(items))


@router.delete("", summary="Forget a stored response, and the past answer that it is")
@needs("ask", keyed=True)
async def delete(id_: Id, engine: EngineOf) -> Deleted:
    if not await asyncio.to_thread(engine.rag.answers.delete_told, id_):
        raise _missing(id_)
    return Deleted(id=id_)


def _found(answers: Answers, id_: str) -> tuple[kept.Around, Answer]:
    """Raises NotFound."""
    if found := kept.find(answers, id_):
        return found
    raise _missing(id_)


def _missing(id_: str) -> NotFound:
    return NotFound(
        f"There is no response {id_[:80]!r} here; of many the oldest are forgotten.",
        "Those of store: false and of the model server's own model are not kept.",
    )
