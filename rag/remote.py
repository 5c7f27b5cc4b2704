"""Calls to the openbook service that owns the data folder, so that a command line finds what it finds.

Generic on purpose: paths, bodies and kinds belong to the commands, this file to HTTP and its errors.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse

from rag import owner, wire
from rag.errors import DataFolderInUse, RagError, ServiceUnreachable, from_code


class Remote:
    """Blocking on purpose: an interrupt from the keyboard then ends a wait at once. ``timeout_s`` bounds the
    wait for each piece of a reply, not the whole."""

    def __init__(
        self,
        url: str,
        token: str = "",
        timeout_s: float = 900.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url, self.token = url, token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(timeout_s, connect=5.0)
        # trust_env: a proxy from the environment has no business between two processes of one machine.
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout, transport=transport, trust_env=False
        )

    def call(
        self, method: str, path: str, kind: Any = dict, *, accept: Container[int] = (200,), **arguments: Any
    ) -> Any:
        """The reply as a ``kind``; raises what the service raised, where the status is not one of ``accept``."""
        with mapped(self.url):
            response = self._http.request(method, path, **encoded(arguments))
            if response.status_code not in accept:
                raise problem_of(response)
            return wire.load(kind, response.json())

    def stream(
        self, method: str, path: str, kinds: Mapping[str, type[Any]], *, last: str, **arguments: Any
    ) -> Iterator[Any]:
        """The events of a server-sent stream, up to the one named ``last``; an ``error`` event is raised."""
        with mapped(self.url):
            with connect_sse(self._http, method, path, **encoded(arguments)) as source:
                if source.response.is_error:
                    source.response.read()
                    raise problem_of(source.response)
                for event in source.iter_sse():
                    data = json.loads(event.data)
                    if event.event == "error":
                        raise from_code(data["code"], data["detail"], data.get("hint", ""))
                    yield wire.load(kinds[event.event], data)
                    if event.event == last:
                        return
            raise ServiceUnreachable(
                f"The openbook service at {self.url} stopped before it was done.",
                "Start it again and repeat the command; what was finished is kept.",
            )


@contextmanager
def mapped(url: str) -> Iterator[None]:
    """What goes wrong on the way to the service at ``url`` as ServiceUnreachable."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise ServiceUnreachable(
            f"The openbook service at {url} did not answer in time.",
            "Look at its log, or stop it and try again.",
        ) from error
    except httpx.TransportError as error:
        raise ServiceUnreachable(
            f"The openbook service at {url} cannot be reached or ended its reply: {error}",
            "Look at its log; if it has stopped, repeat the command: what was finished is kept.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:  # not JSON, an event or a shape that is not known
        raise ServiceUnreachable(
            f"The openbook service at {url} answered what this openbook does not understand: {error}",
            "Is it of another version? Stop it, start it again and repeat the command.",
        ) from error


def find_service(folder: Path) -> Remote | None:
    """The service that owns the data folder; None where nobody does. Raises DataFolderInUse, naming the pid,
    where the owner is not a service or not one yet."""
    record = owner.find(folder)
    if record is None:
        return None
    if record.url is None:
        raise DataFolderInUse.of(folder, record.pid, record.doing)
    return Remote(record.url, record.token)


def encoded(arguments: dict[str, Any]) -> dict[str, Any]:
    """A body as ASCII: a path may hold bytes that are no UTF-8, which escapes carry and characters do not."""
    if "json" not in arguments:
        return arguments
    others = {name: value for name, value in arguments.items() if name != "json"}
    return others | {
        "content": json.dumps(arguments["json"]),
        "headers": {"Content-Type": "application/json"},
    }


def problem_of(response: httpx.Response) -> RagError:
    """An RFC 9457 problem as the error it came from."""
    try:
        body = response.json()
        return from_code(body["code"], body["detail"], body.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        return ServiceUnreachable(
            f"The service answered {response.status_code}: {response.text[:300]}", "Look at its log."
        )
