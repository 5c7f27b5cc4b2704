"""Calls to the REST interface from the tools: to the service that runs, or to the one that they are part of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from typing import Any

import httpx

from rag import wire
from rag.remote import encoded, mapped, problem_of


@dataclass(frozen=True, slots=True)
class Where:
    """A service and the token that its writing paths ask for."""

    url: str
    token: str = ""


class Rest:
    """``find`` tells where the service is, for each call anew: another may have taken its place. Cancelling a call
    ends what the service does for it."""

    def __init__(
        self, find: Callable[[], Awaitable[Where]], transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._find = find
        timeout = httpx.Timeout(900.0, connect=5.0)
        # trust_env: a proxy from the environment has no business between two processes of one machine.
        self._http = httpx.AsyncClient(timeout=timeout, transport=transport, trust_env=False)

    async def call(
        self,
        method: str,
        path: str,
        kind: Any,
        *,
        accept: Container[int] = (200,),
        authorization: str | None = None,
        **arguments: Any,
    ) -> Any:
        """The reply as a ``kind``; raises what the service raised. ``authorization`` is the header of who asks; by
        default the owner does."""
        where = await self._find()
        sent = encoded(arguments)
        allowed = f"Bearer {where.token}" if authorization is None else authorization
        sent["headers"] = sent.get("headers", {}) | {"Authorization": allowed}
        with mapped(where.url):
            response = await self._http.request(method, where.url + path, **sent)
            if response.status_code not in accept:
                raise problem_of(response)
            return wire.load(kind, response.json())

    async def close(self) -> None:
        await self._http.aclose()
