"""Between calls and HTTP: what is sent of a call, and its reply or error read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx

from openbook.client.calls import Call
from rag import wire
from rag.errors import ConfirmationNeeded, Overloaded, RagError, from_code
from rag.remote import encoded, problem_of

T = TypeVar("T")
Progress = Callable[[int, int], None]  # bytes that are sent, and all of them
Files = Sequence[Path | tuple[str, Path]]  # what is sent, with the name that it gets, by default its own


def sent(call: Call[Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"params": call.params}
    if call.json is not None:
        arguments |= encoded({"json": call.json})
    return arguments | {"headers": arguments.get("headers", {}) | call.headers}


def read(call: Call[T], response: httpx.Response) -> T:
    """Raises the error that the service replied with."""
    if not response.is_success:
        raise error_of(response)
    if call.kind is None:
        return cast(T, None)
    return cast(T, response.content) if call.kind is bytes else cast(T, wire.load(call.kind, response.json()))


def error_of(response: httpx.Response) -> RagError:
    error = problem_of(response)
    if isinstance(error, ConfirmationNeeded):
        body = response.json()
        error.token, error.would_be_lost = body["token"], body["would_be_lost"]
    if isinstance(error, Overloaded):
        error.retry_after_s = float(response.headers.get("retry-after", error.retry_after_s))
    return error


def event_of(call: Call[Any], name: str, data: str) -> Any:
    """Raises the error that ended the stream."""
    value = json.loads(data)
    if name == "error":
        raise from_code(value["code"], value["detail"], value.get("hint", ""))
    return wire.load(call.kind[name], value)


@contextmanager
def opened(
    files: Files, progress: Progress | None
) -> Iterator[list[tuple[str, tuple[str, io.BufferedReader]]]]:
    """As httpx takes them; ``progress`` is told as they are read."""
    named = [(each.name, each) if isinstance(each, Path) else each for each in files]
    count = _Count(sum(path.stat().st_size for _, path in named), progress)
    with ExitStack() as stack:
        yield [("files", (name, stack.enter_context(_Counted(path, count)))) for name, path in named]


class _Count:
    def __init__(self, total: int, tell: Progress | None) -> None:
        self._done, self._total, self._tell = 0, total, tell

    def add(self, size: int) -> None:
        self._done += size
        if self._tell:
            self._tell(self._done, self._total)


class _Counted(io.BufferedReader):
    def __init__(self, path: Path, count: _Count) -> None:
        super().__init__(io.FileIO(path))
        self._count = count

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._count.add(len(data))
        return data
