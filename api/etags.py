"""Entity tags: of what a reply says, so that a client need not get it again, or may write only if it is still so."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import Header, Response
from fastapi.responses import JSONResponse

from rag import wire
from rag.errors import OutOfDate

IfNoneMatch = Annotated[str, Header(description="ETags that are known: 304 if it is still one of them.")]
IfMatch = Annotated[str, Header(description="The ETag as it was read: 412 if it is another one now.")]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "It is still as If-None-Match has it."}}


def tag_of(value: Any) -> str:
    """Of a value as it is sent."""
    return _tag(wire.dump(value))


def _tag(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def tagged(value: Any, known: str = "", status: int = 200) -> Response:
    """The reply with its tag; without a body where that is among those that are ``known`` (If-None-Match)."""
    content = wire.dump(value)
    headers = {"ETag": _tag(content), "Cache-Control": "private, no-cache"}
    if is_known(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return JSONResponse(content, status, headers)


def is_known(known: str, tag: str) -> bool:
    return bool(known) and _names(known, tag)


def check(what: str, value: Any, expected: str) -> None:
    """Raises OutOfDate where ``expected`` (If-Match) is given and is not the tag of ``value``."""
    if expected and not _names(expected, tag_of(value)):
        raise OutOfDate.of(what)


def _names(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in header.split(","))
