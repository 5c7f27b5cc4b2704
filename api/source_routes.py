"""The REST paths of what a citation points to: a document's text, and pages of PDFs."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api import sources
from api.drawing import Drawing
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import Text
from api.sources import DocumentText
from rag.errors import BadRequest
from rag.types import Span

router = APIRouter(prefix="/v1/documents/{document_id}")

HIGHLIGHT = "X-Highlight"
_PNG: dict[str, Any] = {
    "content": {"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}},
    "headers": {
        HIGHLIGHT: {
            "description": "Left, top, right, bottom of what is marked, in shares of the page.",
            "schema": {"type": "string"},
        }
    },
}

Id = Annotated[Text, Path(max_length=100, description="As citations have it.")]
Collection = Annotated[Text, Query()]
At = Annotated[int, Query(ge=0, le=2**40, description="In characters of the document's text.")]


@router.get(
    "/text",
    responses=problems_of(404, 409, 422, 503),
    summary="A document's text as it was read: whole passages, with their places",
)
@needs("read")
async def text(
    document_id: Id,
    engine: EngineOf,
    collection: Collection = "default",
    start: At = 0,
    end: Annotated[int | None, Query(ge=0, le=2**40)] = None,
) -> DocumentText:
    _check(start, end)

    def work() -> DocumentText:
        ask = partial(sources.document_text, collection=collection, id_=document_id, start=start, end=end)
        return engine.rag.reading([collection], ask)

    return await asyncio.to_thread(work)


@router.get(
    "/pages/{number}",
    response_class=Response,
    responses={200: _PNG, **problems_of(404, 409, 422, 503)},
    summary="A page of a PDF as an image, with a span of the document's text marked",
)
@needs("read")
async def page(
    document_id: Id,
    number: Annotated[int, Path(ge=1, le=2**31)],
    engine: EngineOf,
    request: Request,
    collection: Collection = "default",
    start: At = 0,
    end: At = 0,
) -> Response:
    _check(start, end)

    ask = partial(
        sources.pdf_page,
        collection=collection,
        id_=document_id,
        number=number,
        span=Span(start, max(start, end)),
    )
    found = await asyncio.to_thread(engine.rag.reading, [collection], ask)
    drawing: Drawing = request.state.drawing
    made = await drawing.page(found.document, found.number, found.text, found.marked)
    headers = {"Cache-Control": "private, max-age=300"}
    if made.highlight:
        headers[HIGHLIGHT] = " ".join(f"{share:.4f}" for share in made.highlight)
    return Response(made.png, media_type="image/png", headers=headers)


def _check(start: int, end: int | None) -> None:
    if end and end < start:
        raise BadRequest(
            f"The end, {end}, is before the start, {start}.", "Give them as a citation has them."
        )
