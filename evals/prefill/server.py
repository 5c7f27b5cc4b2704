"""The model server itself: requests timed without openbook before it, and what keeps cached prefixes apart."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from rag.errors import ModelRefused, ModelUnavailable

Body = dict[str, Any]
_ROUND_TRIPS = 3


class Salted(httpx.AsyncBaseTransport):
    """Puts ``cache_salt`` into every request for text: requests with another salt find nothing of it in the server's
    prefix cache. vLLM takes no ``@``, ``/`` or backslash in one. ``sent`` is the last such request, its path below
    ``/v1`` and its body.

    https://docs.vllm.ai/en/latest/design/prefix_caching/
    """

    def __init__(self, salt: str, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self.salt, self._given = salt, inner
        self._sent: tuple[str, bytes] | None = None

    @property
    def sent(self) -> tuple[str, Body] | None:
        if self._sent is None:
            return None
        path, content = self._sent
        return path, json.loads(content)

    @cached_property
    def _inner(self) -> httpx.AsyncBaseTransport:
        return self._given or httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/completions"):
            request = self._salted(request)
        return await self._inner.handle_async_request(request)

    def _salted(self, request: httpx.Request) -> httpx.Request:
        # Not parsed, since that would pass for time of openbook's.
        content = request.content.rstrip()[:-1] + f',"cache_salt":{json.dumps(self.salt)}}}'.encode()
        path = "/chat/completions" if request.url.path.endswith("/chat/completions") else "/completions"
        self._sent = path, content
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        return httpx.Request(
            "POST", request.url, headers=headers, content=content, extensions=request.extensions
        )

    async def aclose(self) -> None:
        if "_inner" in vars(self):
            await self._inner.aclose()


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds to the first piece of the reply (``ttfr``) and to its first text (``ttft``: the same where there is
    none); tokens by the server's count."""

    ttfr: float
    ttft: float
    prompt: int
    cached: int | None

    @property
    def new(self) -> int:
        return self.prompt - (self.cached or 0)


class Raw:
    """``base_url`` ends in ``/v1``."""

    def __init__(
        self,
        base_url: Callable[[], str],
        api_key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url, self._api_key, self._transport = base_url, api_key, transport

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        return httpx.AsyncClient(headers=headers, timeout=600.0, transport=self._transport, trust_env=False)

    async def close(self) -> None:
        if "_http" in vars(self):
            await self._http.aclose()

    async def ask(self, path: str, body: Mapping[str, Any]) -> Timing:
        """A request that streams. Raises ModelUnavailable and ModelRefused."""
        began = time.perf_counter()
        ttfr = ttft = None
        usage: dict[str, Any] = {}
        async with self._posted(path, body) as response:
            async for chunk in _chunks(response):
                if chunk.get("choices"):
                    now = time.perf_counter() - began
                    ttfr = ttfr or now
                    ttft = ttft or (now if _text(chunk["choices"][0]) else None)
                usage = chunk.get("usage") or usage
        if ttfr is None or "prompt_tokens" not in usage:
            raise ModelRefused(f"The model server's answer to {path} holds no piece, or no count of tokens.")
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        return Timing(ttfr, ttft or ttfr, int(usage["prompt_tokens"]), cached)

    async def round_trip(self) -> float:
        """Seconds for a request that costs the server nothing, as llama-benchy subtracts them; mean of three."""
        seconds = []
        for _ in range(_ROUND_TRIPS):
            began = time.perf_counter()
            (await self._http.get(f"{self._base_url()}/models")).raise_for_status()
            seconds.append(time.perf_counter() - began)
        return statistics.mean(seconds)

    @asynccontextmanager
    async def _posted(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        url = f"{self._base_url()}{path}"
        try:
            async with self._http.stream("POST", url, json=dict(body)) as response:
                if response.status_code != 200:
                    said = (await response.aread()).decode(errors="replace")[:500]
                    raise ModelRefused(f"The model server answered {response.status_code}: {said}")
                yield response
        except httpx.HTTPError as error:
            raise ModelUnavailable(f"The model server at {url} cannot be reached: {error}") from error


def chat(model: str, text: str, salt: str) -> Body:
    """One message, answered by one token."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 1,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_salt": salt,
    }


async def _chunks(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def _text(choice: Mapping[str, Any]) -> str:
    return str((choice.get("delta") or {}).get("content") or choice.get("text") or "")
