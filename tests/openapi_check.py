"""Whether a value is as an OpenAPI document says: the part of JSON Schema that FastAPI and pydantic write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def mismatches(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Where and how ``value`` differs; a property that is not described counts too."""
    return list(_check(value, schema, document, "$"))


def _check(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str) -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        yield from _check(value, document["components"]["schemas"][name], document, at)
        return
    if "anyOf" in schema:
        if all(list(_check(value, option, document, at)) for option in schema["anyOf"]):
            yield f"{at}: fits none of {len(schema['anyOf'])} schemas"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not one of {schema['enum']}"
    expected = schema.get("type")
    if expected and (
        not isinstance(value, _TYPES[expected]) or (isinstance(value, bool) and expected != "boolean")
    ):
        yield f"{at}: {value!r} is not {expected}"
        return
    if expected == "array":
        for i, item in enumerate(value):
            yield from _check(item, schema.get("items", {}), document, f"{at}[{i}]")
    if expected == "object":
        yield from _properties(value, schema, document, at)


def _properties(
    value: dict[str, Any], schema: dict[str, Any], document: dict[str, Any], at: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties")
    yield from (f"{at}.{name}: missing" for name in schema.get("required", []) if name not in value)
    for name, item in value.items():
        if name in known:
            yield from _check(item, known[name], document, f"{at}.{name}")
        elif isinstance(others, dict):
            yield from _check(item, others, document, f"{at}.{name}")
        else:
            yield f"{at}.{name}: not described"
