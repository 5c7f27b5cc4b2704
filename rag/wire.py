"""The values of rag.types as JSON and back; one definition for REST, the command line and stored files."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

T = TypeVar("T")


def dump(value: Any) -> Any:
    """Dicts, lists, strings, numbers and None."""
    kind: Any = type(value)
    return _adapter(kind).dump_python(value, mode="json")


def load(kind: type[T], data: Any) -> T:
    """Raises pydantic.ValidationError where ``data`` is not what ``dump`` made of a ``kind``."""
    adapted: Any = kind
    return cast(T, _adapter(adapted).validate_python(data))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
