"""How much each key may ask for in a minute: requests, and tokens that the model server reads and writes for it."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from limits.util import WindowStats

from rag.errors import RateLimited
from rag.ports import Delta, Generator, Message
from rag.question import GREEDY, Sampling


class Rates:
    """Of this process, so that a restart forgets them."""

    def __init__(self, requests: int, tokens: int) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._items: dict[str, RateLimitItem] = {
            "requests": RateLimitItemPerMinute(requests, namespace="requests"),
            "tokens": RateLimitItemPerMinute(tokens, namespace="tokens"),
        }

    def request(self, key: str) -> None:
        """Raises RateLimited, also where too many tokens were used: what a request takes is known when it is done."""
        if not self._limiter.hit(self._items["requests"], key):
            raise self._refused("requests", key)
        if not self._limiter.test(self._items["tokens"], key):
            raise self._refused("tokens", key)

    def spend(self, key: str, tokens: int) -> None:
        self._limiter.hit(self._items["tokens"], key, cost=tokens)

    def headers(self, key: str) -> dict[str, str]:
        """https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/"""
        policies = (f'"{name}";q={item.amount};w=60' for name, item in self._items.items())
        stats = {name: self._limiter.get_window_stats(item, key) for name, item in self._items.items()}
        left = (f'"{name}";r={max(0, each.remaining)};t={_left_s(each)}' for name, each in stats.items())
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}

    def _refused(self, name: str, key: str) -> RateLimited:
        item = self._items[name]
        return RateLimited.of_key(name, item.amount, _left_s(self._limiter.get_window_stats(item, key)))


def _left_s(stats: WindowStats) -> int:
    """Seconds to the end of the minute that counts."""
    return max(1, math.ceil(stats.reset_time - time.time()))


class Metered:
    """rag.ports.Generator that tells the tokens of each reply, and of one that was broken off what it had by then."""

    def __init__(self, generator: Generator, spend: Callable[[int], None]) -> None:
        self._generator, self.spend = generator, spend
        self.model = generator.model

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        tokens = 0
        try:
            stream = self._generator.stream(messages, max_tokens=max_tokens, sampling=sampling, ids=ids)
            async with aclosing(stream) as deltas:
                async for delta in deltas:
                    if delta.usage:
                        tokens = delta.usage.prompt + delta.usage.completion
                    yield delta
        finally:
            if tokens:
                self.spend(tokens)
