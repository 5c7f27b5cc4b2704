"""``/docs``: what the service takes, by path, from its OpenAPI document. Nothing is fetched from elsewhere for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.caller import SCOPES
from api.rules import needs

router = APIRouter(include_in_schema=False)
_TEMPLATE = Environment(
    loader=PackageLoader("api", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
).get_template("reference.html.j2")


@dataclass(frozen=True, slots=True)
class Operation:
    """``takes`` are its parameters and, of a JSON body, the fields, each with what is said of it."""

    method: str
    path: str
    summary: str
    takes: tuple[tuple[str, str], ...]


@router.get("/docs")
@needs(*SCOPES)
async def reference(request: Request) -> HTMLResponse:
    document = request.app.openapi()
    return HTMLResponse(
        _TEMPLATE.render(title=document["info"]["title"], operations=list(operations(document)))
    )


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            takes = tuple((each["name"], _said(each)) for each in told.get("parameters", ()))
            yield Operation(method.upper(), path, told.get("summary", ""), takes + _body(document, told))


def _body(document: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    content = told.get("requestBody", {}).get("content", {})
    schema: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    if name := schema.get("$ref", "").rpartition("/")[2]:
        schema = document["components"]["schemas"][name]
    return tuple((name, _said(field)) for name, field in schema.get("properties", {}).items())


def _said(of: Mapping[str, Any]) -> str:
    return str(of.get("description") or of.get("schema", {}).get("description") or "")
