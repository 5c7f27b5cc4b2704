"""Requests that exercise a prefix cache, played against a server one after the other, and what was cached of each."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from rag.prefix_cache import PrefixCache


@dataclass(frozen=True, slots=True)
class Step:
    """``ids`` behind the first ``keep`` tokens of what an earlier request had when it ended (None: all of them).
    ``stop_early`` lets the model end by itself instead of by ``max_tokens``."""

    kind: str
    ids: tuple[int, ...]
    after: int | None = None
    keep: int | None = None
    salt: str = ""
    max_tokens: int = 1
    stop_early: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """``ended``: the model ended its answer by itself."""

    kind: str
    prompt: tuple[int, ...]
    generated: tuple[int, ...]
    cached: int
    salt: str
    ended: bool


Ask = Callable[[Sequence[int], Step], tuple[Sequence[int], int]]


def steps(count: int, seed: int, *, shortest: int = 100, longest: int = 900) -> list[Step]:
    """New prompts, the same again, the same under another salt, others behind the same beginning, and conversations
    that go on, most of them soon after. ``shortest`` to ``longest`` tokens."""
    rng = random.Random(seed)
    made: list[Step] = []
    lengths: list[int] = []  # of the prompts
    while len(made) < count:
        kind = rng.choice(("new", "again", "salted", "shared", "shared", "goes on", "goes on"))
        after = max(len(made) - rng.choice((1, 1, 2, 3, 5, 8, 13, 21)), 0) if made else None
        more = rng.randint(1, 160)
        if after is None or (kind == "goes on" and lengths[after] + 8 + more > longest):
            kind = "new"
        if kind == "new":
            length, step = (n := rng.randint(shortest, longest)), Step(kind, _ids(rng, n))
        else:
            assert after is not None
            length = lengths[after]
            before = made[after]
            step = Step(kind, (), after, length, before.salt)
            if kind == "salted":
                step = Step(kind, (), after, length, rng.choice(("", "one", "two")))
            elif kind == "shared":
                keep = rng.randint(1, length)
                length = keep + more if keep + more <= longest else keep
                step = Step(kind, _ids(rng, length - keep), after, keep, before.salt)
            elif kind == "goes on":
                length += before.max_tokens + more
                step = Step(kind, _ids(rng, more), after, None, before.salt)
        stop_early = rng.random() < 0.2
        step = Step(step.kind, step.ids, step.after, step.keep, step.salt, rng.randint(1, 4), stop_early)
        made.append(step)
        lengths.append(length)
    return made


def _ids(rng: random.Random, count: int) -> tuple[int, ...]:
    # Of plain text in every vocabulary: the first are often special.
    return tuple(rng.randrange(1000, 30000) for _ in range(count))


def play(trace: Sequence[Step], ask: Ask) -> Iterator[Played]:
    whole: list[tuple[int, ...]] = []
    for step in trace:
        prompt = step.ids if step.after is None else whole[step.after][: step.keep] + step.ids
        generated, cached = ask(prompt, step)
        whole.append((*prompt, *generated))
        yield Played(step.kind, prompt, tuple(generated), cached, step.salt, len(generated) < step.max_tokens)


def predicted(cache: PrefixCache, played: Played, *, async_scheduling: bool = False) -> int:
    """What the mirror says of the same request, which it takes in."""
    ran_ahead = async_scheduling and played.ended
    return cache.run(played.prompt, played.generated, played.salt, ran_ahead=ran_ahead)


class Server:
    """An OpenAI-compatible server as vLLM is, asked by token ids. ``url`` is without ``/v1``."""

    def __init__(self, url: str, end_id: int) -> None:
        self._http = httpx.Client(base_url=url, timeout=600, trust_env=False)
        self._end_id = end_id
        self.model = self._http.get("/v1/models").raise_for_status().json()["data"][0]["id"]

    def close(self) -> None:
        self._http.close()

    def cache(self) -> PrefixCache:
        """An empty mirror of the server's size."""
        told = self._http.get("/metrics").raise_for_status().text
        line = next(line for line in told.splitlines() if line.startswith("vllm:cache_config_info{"))
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        return PrefixCache(int(labels["block_size"]), int(labels["num_gpu_blocks"]))

    def ask(self, prompt: Sequence[int], step: Step) -> tuple[list[int], int]:
        if step.stop_early:
            return self._ask(prompt, step.salt, step.max_tokens, allowed_token_ids=[self._end_id])
        return self._ask(prompt, step.salt, step.max_tokens, ignore_eos=True)

    def again(self, played: Played) -> int:
        """What a simulator says is cached of a request that was played elsewhere."""
        generated = list(played.generated)
        most = len(generated) + played.ended
        return self._ask(played.prompt, played.salt, most, reply_ids=generated)[1]

    def _ask(self, prompt: Sequence[int], salt: str, max_tokens: int, **more: Any) -> tuple[list[int], int]:
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": list(prompt),
            "max_tokens": max_tokens,
            "temperature": 0,
            "return_token_ids": True,
            **({"cache_salt": salt} if salt else {}),
            **more,
        }
        reply = self._http.post("/v1/completions", json=body).raise_for_status().json()
        (choice,) = reply["choices"]
        return choice["token_ids"], reply["usage"]["prompt_tokens_details"]["cached_tokens"]
