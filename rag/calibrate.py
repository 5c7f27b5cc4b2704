"""Measures what prefill costs on the model server: prompts of many lengths, cold and with a part in its cache.

A plan is three rounds of lengths, each about twice the one before, the rounds a third of that apart. Of each length
one prompt of random tokens is sent, which nothing can have cached; then prompts that begin as that one does and go on
otherwise, so that a share of them is in the cache. What was cached is what the server says.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rag.errors import ModelRefused
from rag.ports import Generator, Message
from rag.prefill import ENOUGH, Cost, Sample, fit
from rag.types import Usage

SHARES = (0.0, 0.9, 0.5)
ROUNDS = 3
SHORTEST = 48  # tokens
SPARE = 64  # tokens of the window for what a chat template adds, and the answer

# Ids that are text in the vocabularies of today: special tokens come before or after.
_IDS = range(1000, 30_000)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

_TRIAL = 256  # tokens of the first prompt, which is not counted

Keep = Callable[[str, Sample], None]


@dataclass(frozen=True, slots=True)
class Step:
    """``name`` is the same in every run with this window."""

    name: str
    tokens: int

    def seconds(self, cost: Cost) -> float:
        return sum(cost.seconds(self.tokens - _part(self.tokens, s), _part(self.tokens, s)) for s in SHARES)


@dataclass(frozen=True, slots=True)
class Progress:
    """Before a step: its length, the tokens per second that the latest cold prompt was read at, and the seconds that
    all the rest may take, at most or as expected."""

    step: int
    steps: int
    tokens: int
    rate: float | None
    left_s: float


def plan(window: int) -> list[Step]:
    steps = []
    for turn in range(ROUNDS):
        lengths, length = [], (window - SPARE) * 2 ** (-turn / ROUNDS)
        while length >= SHORTEST:
            lengths.append(round(length))
            length /= 2
        steps += [Step(f"{turn + 1}/{tokens}", tokens) for tokens in sorted(lengths)]
    return steps


async def calibrate(
    generator: Generator,
    limit_s: float,
    done: Sequence[tuple[str, Sample]],
    keep: Keep,
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncGenerator[Progress, None]:
    """Goes through what ``done`` leaves of the plan, and hands over each sample when it is measured. A step that is
    not expected to end within the limit is left out."""
    deadline = clock() + limit_s
    sender = await sender_of(generator, clock)
    kept, measured = Counter(name for name, _ in done), [sample for _, sample in done]
    window = (await generator.model()).window
    steps = [step for step in plan(window) if kept[step.name] < (len(SHARES) if sender.tells_cached else 1)]
    rate = None
    for at, step in enumerate(steps, 1):
        left_s = deadline - clock()
        cost = fit(measured) if len(measured) >= ENOUGH else None
        if left_s <= 0 or (cost and step.seconds(cost) > left_s):
            continue
        expected = sum(step.seconds(cost) for step in steps[at - 1 :]) if cost else left_s
        yield Progress(at, len(steps), step.tokens, rate, min(left_s, expected))
        async for sample in measured_at(sender, step.tokens):
            keep(step.name, sample)
            measured.append(sample)
            rate = rate if sample.cached else sample.new / sample.seconds


async def measured_at(
    sender: Sender, tokens: int, shares: Sequence[float] = SHARES
) -> AsyncGenerator[Sample, None]:
    """One cold prompt, then those that begin as it does for a share of it; only the first where the server does not
    tell what it had cached."""
    cold = sender.fresh(tokens)
    for share in shares if sender.tells_cached else (0.0,):
        same = cold[: _part(len(cold), share)]
        usage, seconds = await sender.first_token(
            [*same, *sender.fresh(tokens)[len(same) :]] if share else cold
        )
        cached = usage.cached or 0
        yield Sample(max(1, usage.prompt - cached), cached, seconds)


def _part(tokens: int, share: float) -> int:
    return int(tokens * share)


class Sender:
    """Sends prompts of random pieces: token ids, or words where the server does not take ids."""

    def __init__(self, generator: Generator, clock: Callable[[], float], *, as_ids: bool) -> None:
        self._generator, self._clock, self._as_ids = generator, clock, as_ids
        self._random = random.Random()  # never the same twice: what was sent before may be cached
        self._tokens_a_piece = 1.0
        self.tells_cached = False

    async def try_out(self) -> None:
        """Raises ModelRefused where the server does not take this kind of prompt. Its first requests are slower, too,
        than those that count."""
        pieces = self.fresh(_TRIAL)
        usage, _ = await self.first_token(pieces)
        if self._as_ids and not _TRIAL <= usage.prompt <= _TRIAL + SPARE:
            raise ModelRefused(f"{_TRIAL} token ids were read as {usage.prompt} tokens.")
        if not self._as_ids:  # on the safe side of the window: other words may have more tokens
            self._tokens_a_piece = 1.05 * usage.prompt / len(pieces)
        self.tells_cached = usage.cached is not None

    def fresh(self, tokens: int) -> list[int] | list[str]:
        count = int(tokens / self._tokens_a_piece)
        if self._as_ids:
            return self._random.choices(_IDS, k=count)
        return ["".join(self._random.choices(_LETTERS, k=5)) for _ in range(count)]

    async def first_token(self, pieces: Sequence[int | str]) -> tuple[Usage, float]:
        """What the server counted, and seconds until the first token came. Raises ModelRefused where it counts
        nothing."""
        ids = [piece for piece in pieces if isinstance(piece, int)]
        said = () if ids else (Message("user", " ".join(map(str, pieces))),)
        began, first, usage = self._clock(), None, None
        async with aclosing(self._generator.stream(said, max_tokens=1, ids=ids)) as deltas:
            async for delta in deltas:
                if first is None and (delta.text or delta.finish_reason):
                    first = self._clock() - began
                usage = delta.usage or usage
        if usage is None or first is None:
            raise ModelRefused(
                "The model server does not say how many tokens it read (usage).",
                "Prefill can be calibrated on servers that do, as vLLM.",
            )
        return usage, first


async def sender_of(generator: Generator, clock: Callable[[], float]) -> Sender:
    ids, words = (Sender(generator, clock, as_ids=as_ids) for as_ids in (True, False))
    try:
        await ids.try_out()
    except ModelRefused:
        await words.try_out()
        return words
    return ids
