"""Calls to the openbook service that owns the data folder, so that a command line finds what it finds.

Generic on purpose: paths and bodies belong to the commands, this file to HTTP and its errors.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse

from rag import owner
from rag.errors import DataFolderInUse, RagError, ServiceUnreachable, from_code


class Remote:
    """``timeout_s`` bounds the wait for each piece of a reply, not the whole."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 900.0) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(timeout_s, connect=5.0)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def call(self, method: str, path: str, *, accept: Container[int] = (200,), **arguments: Any) -> Any:
        """The reply's JSON; raises what the service raised, where the status is not one of ``accept``."""
        with self._mapped():
            response = self._http.request(method, path, **arguments)
            if response.status_code not in accept:
                raise _problem(response)
            return response.json()

    def stream(self, method: str, path: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """(event, data) pairs of a server-sent stream; an ``error`` event is raised."""
        with self._mapped(), connect_sse(self._http, method, path, **arguments) as source:
            if source.response.is_error:
                source.response.read()
                raise _problem(source.response)
            for event in source.iter_sse():
                data = json.loads(event.data)
                if event.event == "error":
                    raise from_code(data["code"], data["detail"], data.get("hint", ""))
                yield event.event, data

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, ValueError, KeyError) as error:
            raise ServiceUnreachable(
                f"The openbook service at {self.url} does not answer as it should: {error!r}",
                "Look at its log, or stop it and try again.",
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


def _problem(response: httpx.Response) -> RagError:
    """An RFC 9457 problem as the error it came from."""
    try:
        body = response.json()
        return from_code(body["code"], body["detail"], body.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        return ServiceUnreachable(f"The service answered {response.status_code}: {response.text[:300]}")
