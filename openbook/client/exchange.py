"""Between calls and HTTP: what is sent of a call, and its reply or error read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx

from openbook.client.calls import Call, Files, Progress
from rag import wire
from rag.errors import ConfirmationNeeded, Overloaded, RagError, ServiceUnreachable, from_code
from rag.remote import encoded, find_service, problem_of

T = TypeVar("T")
Parts = list[tuple[str, tuple[str, io.BufferedReader]]]


@contextmanager
def sent(call: Call[Any]) -> Iterator[dict[str, Any]]:
    """What httpx is to send; its files are open meanwhile."""
    arguments: dict[str, Any] = {"method": call.method, "url": call.path, "params": call.params}
    if call.json is not None:
        arguments |= encoded({"json": call.json})
    arguments["headers"] = arguments.get("headers", {}) | call.headers
    with _opened(call.files, call.progress) as parts:
        yield arguments | ({"files": parts} if parts else {})


def read(call: Call[T], response: httpx.Response) -> T:
    """Raises the error that the service replied with."""
    if not response.is_success:
        raise error_of(response)
    if call.kind is None:
        return cast(T, None)
    if call.kind is bytes:
        return cast(T, response.content)
    value = wire.load(call.kind, response.json())
    return cast(T, getattr(value, call.part) if call.part else value)


def stopped() -> ServiceUnreachable:
    """Before the last event of a stream."""
    return ServiceUnreachable("The service stopped before it was done.", "Ask again.")


def local(data_dir: Path) -> tuple[str, str]:
    """Address and token of the service that runs on a data folder. Raises ServiceUnreachable where none does."""
    service = find_service(data_dir)
    if service is None:
        raise ServiceUnreachable(f"No service runs on {data_dir}.", "Start one with: openbook serve")
    return service.url, service.token


def settings(url: str, key: str, timeout_s: float) -> dict[str, Any]:
    """Of an httpx client."""
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(timeout_s, connect=10.0),
    }


def described(method: Callable[..., Any], make: Callable[..., Call[Any]]) -> None:
    """Gives a method the name, the words and the parameters of what makes its calls, for ``help`` and editors."""
    method.__name__, method.__doc__ = make.__name__, make.__doc__
    itself = Parameter("self", Parameter.POSITIONAL_ONLY)
    parameters = [itself, *signature(make).parameters.values()]
    method.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # of inspect's, which type checkers do not know


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
def _opened(files: Files, progress: Progress | None) -> Iterator[Parts]:
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
