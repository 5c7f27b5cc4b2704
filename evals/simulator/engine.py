"""A scheduler as vLLM V1's, over a mirrored prefix cache, that says how long each of its steps would take.

Each step first gives every running request its next tokens, then takes waiting ones in order of arrival while there
is room: prompts are computed in pieces, at most ``max_batched_tokens`` in all, and answers are written beside them.
Time passes elsewhere: in the server by sleeping, in ``Virtual`` not at all.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from rag.prefix_cache import Key, Lease, NoRoom, PrefixCache


class PrefillCost(Protocol):
    """As rag.prefill has it: quadratic in all tokens, so that the pieces of a prompt add up to the whole."""

    def seconds(self, new: int, cached: int) -> float: ...


@dataclass(eq=False, slots=True)
class Request:
    """``reply`` is what the model will write, of which ``max_tokens`` are wanted. Times are the clock's seconds:
    when it came, and when its tokens were written. ``keys`` are those of the cache's blocks, if known."""

    ids: Sequence[int]
    reply: Sequence[int]
    max_tokens: int = 1
    salt: str = ""
    keys: Sequence[Key] | None = None
    arrived: float = 0.0
    cached: int | None = None  # None until it has begun
    times: list[float] = field(default_factory=list)
    lease: Lease | None = None

    @property
    def generated(self) -> Sequence[int]:
        return self.reply[: len(self.times)]

    @property
    def wanted(self) -> int:
        return min(len(self.reply), self.max_tokens)

    @property
    def finished(self) -> bool:
        return len(self.times) == self.wanted

    @property
    def first_token_s(self) -> float:
        return self.times[0] - self.arrived


@dataclass(frozen=True, slots=True)
class Step:
    """Requests of which tokens are computed, and the seconds that this takes."""

    requests: Sequence[Request]
    seconds: float


class Engine:
    def __init__(
        self,
        cache: PrefixCache,
        cost: PrefillCost,
        decode_s: float,
        *,
        max_batched_tokens: int = 8192,
        max_running: int = 256,
        async_scheduling: bool = True,
    ) -> None:
        """``decode_s``: seconds of a step in which tokens are written and nothing else is done. The cache must hold
        the longest prompt with its answer. ``async_scheduling`` is as in vLLM, on a GPU and not on a CPU."""
        self.cache, self._cost, self._decode_s = cache, cost, decode_s
        self._max_batched_tokens, self._max_running = max_batched_tokens, max_running
        self._async_scheduling = async_scheduling
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    def add(self, request: Request) -> None:
        if not request.wanted:
            raise ValueError("A request is for at least one token.")
        self.waiting.append(request)

    def cancel(self, request: Request) -> None:
        """What it has computed stays in the cache."""
        if request in self.waiting:
            self.waiting.remove(request)
        if request in self.running:
            self.running.remove(request)
            _end(request)

    def begin_step(self) -> Step | None:
        """None where there is nothing to do."""
        left, seconds, taking = self._max_batched_tokens, 0.0, []
        is_decoding = False
        for request in list(self.running):
            if left == 0 or request not in self.running:
                break
            lease = request.lease
            assert lease is not None
            before, upto = lease.computed, min(lease.computed + left, lease.length)
            if not self._compute(request, lease, upto):
                break
            left -= upto - before
            taking.append(request)
            if request.times and upto - before == 1:
                is_decoding = True
            else:
                seconds += self._piece(upto - before, before, is_first=False)
        while self.waiting and left and len(self.running) < self._max_running:
            lease = self._begin(self.waiting[0], left)
            if lease is None:
                break
            request = self.waiting.popleft()
            self.running.append(request)
            taking.append(request)
            new = lease.computed - lease.cached
            left -= new
            seconds += self._piece(new, lease.cached, is_first=True)
        # A step reads the weights once: answers are written beside a longer piece of a prompt.
        return Step(taking, max(seconds, self._decode_s if is_decoding else 0.0)) if taking else None

    def end_step(self, step: Step, now: float) -> list[Request]:
        """Those of which another token was written."""
        written = []
        for request in step.requests:
            lease = request.lease
            if (
                lease is None or lease.computed < lease.length
            ):  # cancelled meanwhile, or not yet read to its end
                continue
            request.times.append(now)
            lease.extend(request.generated[-1:])
            written.append(request)
            if request.finished:
                self.running.remove(request)
                _end(request, ran_ahead=self._async_scheduling and request.wanted < request.max_tokens)
        return written

    def _piece(self, new: int, cached: int, *, is_first: bool) -> float:
        """What a request costs by itself, it costs once."""
        whole = self._cost.seconds(new, cached)
        return whole if is_first else whole - self._cost.seconds(0, cached)

    def _begin(self, request: Request, left: int) -> Lease | None:
        ids = [*request.ids, *request.generated] if request.times else request.ids
        if request.keys is None:  # hashed once, however long it waits
            request.keys = self.cache.keys(request.ids, request.salt)
        keys = None if request.times else request.keys
        try:
            request.lease = self.cache.begin(ids, request.salt, keys=keys, first_chunk=left)
        except NoRoom:
            return None
        if request.cached is None:  # of one that was sent back, what it found at first
            request.cached = request.lease.cached
        return request.lease

    def _compute(self, request: Request, lease: Lease, upto: int) -> bool:
        """False where the request itself had to go."""
        while True:
            try:
                lease.compute(upto)
            except NoRoom:
                last = self.running.pop()
                _end(last)
                self.waiting.appendleft(last)
                if last is request:
                    return False
            else:
                return True


def _end(request: Request, *, ran_ahead: bool = False) -> None:
    assert request.lease is not None
    request.lease.end(ran_ahead=ran_ahead)
    request.lease = None


class Virtual:
    """An engine whose time passes without waiting: requests come at given seconds, ``now`` jumps from step to step."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = 0.0
        self._coming: list[tuple[float, int, Request]] = []
        self._order = count()

    def submit(self, request: Request, at: float | None = None) -> Request:
        """``at`` a second that is not past; by default now."""
        request.arrived = max(self.now, self.now if at is None else at)
        heapq.heappush(self._coming, (request.arrived, next(self._order), request))
        return request

    def advance(self) -> list[Request] | None:
        """One step of the engine: those of which a token was written; None when nothing is left to do."""
        if not self.engine.waiting and not self.engine.running and self._coming:
            self.now = max(self.now, self._coming[0][0])
        while self._coming and self._coming[0][0] <= self.now:
            self.engine.add(heapq.heappop(self._coming)[2])
        step = self.engine.begin_step()
        if step is None:
            return None
        self.now += step.seconds
        return self.engine.end_step(step, self.now)

    def run(self, until: Request | None = None) -> None:
        """To the end of one request, or of all."""
        while (until is None or not until.finished) and self.advance() is not None:
            pass
