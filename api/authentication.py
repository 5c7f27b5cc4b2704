"""Finds out who makes each request: the owner of the data folder, the holder of a key, or somebody on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.caller import LOCAL, OWNER, Caller
from api.keys import Key, Keys
from api.rates import Rates
from rag.compose import Engine
from rag.errors import KeyMissing, RagError

FRESH_S = 1.0  # that a key is not looked up again: so soon a revoked one is refused
MOST_FRESH = 1000
# A proxy on this machine passes on what comes from others.
PASSED_ON = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclass(frozen=True, slots=True)
class Access:
    """``require_key``: on loopback, too. Web pages of ``origins`` may speak to the service. The others
    are of each key."""

    require_key: bool = False
    origins: tuple[str, ...] = ()
    requests_per_minute: int = 600
    tokens_per_minute: int = 1_000_000


DEFAULT = Access()


class Authentication:
    """ASGI middleware; the state of a request has its ``caller``, None where it needs a key and has none. Such a one is
    refused but for the ``public`` paths. ``local``: who is on this machine needs no key to read and ask."""

    def __init__(self, app: ASGIApp, public: re.Pattern[str], *, local: bool) -> None:
        self._app, self._public, self._local = app, public, local
        self._fresh: dict[bytes, tuple[float, Key]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            caller = await self._caller(headers, scope["state"])
            if caller is None and not self._public.fullmatch(scope["path"]):
                raise KeyMissing.of()
            if caller and caller.key:
                send = _telling(scope["state"]["rates"], caller.key, send)
                scope["state"]["rates"].request(caller.key)
        except RagError as error:
            await problems.reply_to(error, scope["path"])(scope, receive, send)
            return
        scope["state"]["caller"] = caller
        await self._app(scope, receive, send)

    async def _caller(self, headers: Headers, state: Mapping[str, Any]) -> Caller | None:
        """Raises KeyRefused for a key that is none, and StoreUnavailable."""
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not shown.strip():
            passed_on = any(name in headers for name in PASSED_ON)
            return LOCAL if self._local and not passed_on else None
        engine: Engine = state["engine"]
        if secrets.compare_digest(shown.strip().encode(), engine.owner.record.token.encode()):
            return OWNER
        return (await self._key(state["keys"], shown.strip())).caller

    async def _key(self, keys: Keys, shown: str) -> Key:
        digest, now = hashlib.sha256(shown.encode()).digest(), time.monotonic()
        until, key = self._fresh.get(digest, (0.0, None))
        if key is None or until < now:
            self._fresh.pop(digest, None)
            key = await asyncio.to_thread(keys.find, shown)
            if len(self._fresh) >= MOST_FRESH:
                self._fresh.clear()
            self._fresh[digest] = (now + FRESH_S, key)
        return key


def _telling(rates: Rates, key: str, send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(rates.headers(key))
        await send(message)

    return told
