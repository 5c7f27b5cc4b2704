"""Who may prefill next. A long prefill blocks all others in the model server, so it is sent in slices (requests for
one token, of growing prefixes, which stay in the server's prefix cache), and between two of them others pass.

``Line`` is the policy, pure: time is passed in. The next turn goes to the highest priority; of one priority to the
key that has had least; then to the least prefill left, so that short and warm questions pass long ones. But the
request that came first has a guaranteed share of the time, whatever comes later, so that none starves: one that takes
``cost_s`` seconds, behind older ones that have ``older_s`` left, is read within
``(older_s + cost_s) / SHARE + AHEAD_S`` seconds and two slices, while there is room for answers.

``Gate`` lets coroutines through by it:

    with gate.entered(ticket):                                  # Overloaded, or a place in the line
        gate.weigh(ticket, cost_s)                              # Overloaded, or what all its slices take
        async for waiting in gate.waiting(ticket, seconds): ... # its place, until its turn comes
        async with gate.turn(ticket, seconds) as prefilled:     # one slice; waits where nobody has yet
            ...
            prefilled()                                         # the first token: others may prefill
            ...                                                 # the answer goes on

See shortest remaining processing time (Schrage 1968) and deficit round robin (Shreedhar and Varghese 1995).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from rag.errors import Overloaded

SHARE = 0.5  # of the time, for the request that came first
AHEAD_S = 5.0  # of turns that others may have before that share is due, and a key before another's
REPORT_S = 1.0
STANDING_S = 0.1  # that what is told of a place may be old
REPORTS = 50  # in a second, to all that wait: of more, each is told less often
_RECENT = 0.2  # weight of the newest answer in the mean length of answers


@dataclass(frozen=True, slots=True)
class Rules:
    """``prefills_at_once`` are requests of which the server reads the prompt, ``answers_at_once`` those and the ones
    that it answers. ``queue_limit`` counts requests without a turn; with more, or with a start further away than
    ``max_wait_s``, a new one is refused."""

    prefills_at_once: int = 1
    answers_at_once: int = 16
    queue_limit: int = 64
    max_wait_s: float = 300.0


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A request. Higher ``priority`` goes first; ``key`` is whose it is. In the ``background`` it has turns only while
    nobody else waits for one, and no share: nobody waits for what it reads."""

    priority: int = 0
    key: str = ""
    background: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """``position`` 1 is next, 0 says that its turn has come. ``start_s``: seconds until then, if nobody comes who goes
    first."""

    position: int
    start_s: float


@dataclass(slots=True)
class _Place:
    ticket: Ticket
    number: int
    state: Literal["preparing", "waiting", "prefilling", "answering"] = "preparing"
    left_s: float = 0.0  # of prefill
    slice_s: float = 0.0  # of that, in the turn that it waits for or has
    since: float = 0.0  # when the state began, of those that have a turn
    oldest: bool = False  # whether it came first of those that waited for the turn that it has

    @property
    def later_s(self) -> float:
        """What is left after the turn that it has, if any."""
        return max(0.0, self.left_s - self.slice_s) if self.state == "prefilling" else self.left_s

    def busy_s(self, now: float) -> float:
        """What is left of that turn."""
        return max(0.0, self.since + self.slice_s - now) if self.state == "prefilling" else 0.0


class Line:
    """Requests by arrival, and what each has had. Times in seconds, by any clock."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        self._places: dict[Ticket, _Place] = {}
        self._arrivals = 0
        self._owed_s = 0.0  # of turns, to the oldest
        self._had_s: dict[str, float] = defaultdict(float)  # by key; only differences matter
        self._answer_s = 0.0  # how long answers take lately

    @property
    def requests(self) -> int:
        return len(self._places)

    @property
    def running(self) -> int:
        return len(self._in("prefilling", "answering"))

    def enter(self, ticket: Ticket, now: float) -> None:
        """Raises Overloaded where the queue is full."""
        queue = self._in("preparing", "waiting")
        if len(queue) >= self._rules.queue_limit:
            why = f"{len(queue)} questions wait already, as many as may (OPENBOOK_QUEUE_LIMIT)."
            raise Overloaded.of(why, self._soonest(now))
        self._catch_up(ticket.key)
        self._arrivals += 1
        self._places[ticket] = _Place(ticket, self._arrivals)

    def weigh(self, ticket: Ticket, cost_s: float, now: float) -> None:
        """Says how many seconds of prefill are left. Raises Overloaded where it would wait too long."""
        place = self._places[ticket]
        place.left_s = cost_s
        start_s, longest_s = self.waiting(ticket, now).start_s, self._rules.max_wait_s
        if start_s > longest_s:
            why = f"The question would wait for {start_s:,.0f} s, longer than {longest_s:,.0f} (OPENBOOK_MAX_WAIT_S)."
            raise Overloaded.of(why, max(1, math.ceil(start_s - longest_s)))

    def ask(self, ticket: Ticket, seconds: float) -> None:
        """For a turn of so many seconds of prefill."""
        place = self._places[ticket]
        if place.state == "preparing":
            place.state, place.slice_s = "waiting", seconds
            place.left_s = max(place.left_s, seconds)

    def grant(self, now: float) -> list[Ticket]:
        """Gives the turns that can be given now; whose they are."""
        granted = []
        while place := self._next():
            place.oldest = place is self._oldest(self._in("waiting"))
            place.state, place.since = "prefilling", now
            granted.append(place.ticket)
        return granted

    def has_turn(self, ticket: Ticket) -> bool:
        return self._places[ticket].state in ("prefilling", "answering")

    def prefilled(self, ticket: Ticket, now: float) -> None:
        """The slot is free for another prefill; the turn goes on."""
        place = self._places[ticket]
        if place.state == "prefilling":
            self._account(place, now)
            place.state, place.since = "answering", now

    def end(self, ticket: Ticket, now: float) -> None:
        """Of a turn, or of the wait for one. Nothing to do for a ticket that has left."""
        place = self._places.get(ticket)
        if place is None:
            return
        if place.state == "prefilling":
            self._account(place, now)
        elif place.state == "answering":
            took = now - place.since
            self._answer_s += _RECENT * (took - self._answer_s) if self._answer_s else took
        place.state = "preparing"

    def leave(self, ticket: Ticket, now: float) -> None:
        self.end(ticket, now)
        self._places.pop(ticket, None)

    def waiting(self, ticket: Ticket, now: float) -> Waiting:
        """Also of one that has not asked for a turn yet: as if it did."""
        mine = self._places[ticket]
        others = [place for place in self._in("waiting", "prefilling") if place is not mine]
        return self._standings([mine, *others], now)[ticket]

    def standings(self, now: float) -> dict[Ticket, Waiting]:
        """Of all that wait: what ``waiting`` says of each, in one pass."""
        places = self._in("waiting", "prefilling")
        return self._standings(places, now) if places else {}

    def _standings(self, places: list[_Place], now: float) -> dict[Ticket, Waiting]:
        oldest, full = self._oldest(places), self.running >= self._rules.answers_at_once
        busy_s = sum(place.busy_s(now) for place in places)
        found: dict[Ticket, Waiting] = {}
        position, before_s, oldest_before = 1, 0.0, False
        for place in sorted(places, key=self._ranks(places)):
            first_s = before_s
            if place is oldest:
                first_s = min(first_s, max(0.0, AHEAD_S - self._owed_s / SHARE))
            elif not oldest_before:  # it has its share of the time until then
                first_s += min(oldest.later_s, first_s * SHARE / (1 - SHARE))
            start_s = (busy_s - place.busy_s(now) + first_s) / self._rules.prefills_at_once
            if full:
                start_s = max(start_s, position * self._answer_s / self._rules.answers_at_once)
            found[place.ticket] = Waiting(position, start_s)
            if later_s := place.later_s:
                position, before_s = position + 1, before_s + later_s
                oldest_before |= place is oldest
        return found

    def _next(self) -> _Place | None:
        waiting = self._in("waiting")
        full = len(self._in("prefilling")) >= self._rules.prefills_at_once
        if not waiting or full or self.running >= self._rules.answers_at_once:
            return None
        if self._owed_s >= SHARE * AHEAD_S:
            return self._oldest(waiting)
        return min(waiting, key=self._ranks(waiting))

    def _ranks(self, places: list[_Place]) -> Callable[[_Place], tuple[float, ...]]:
        least = min(self._had_s[place.ticket.key] for place in places)

        def rank(place: _Place) -> tuple[float, ...]:
            ticket = place.ticket
            ahead = (self._had_s[ticket.key] - least) // AHEAD_S
            return (ticket.background, -ticket.priority, ahead, place.later_s, place.number)

        return rank

    def _account(self, place: _Place, now: float) -> None:
        took = now - place.since
        self._had_s[place.ticket.key] += took
        self._owed_s = max(0.0, self._owed_s + (SHARE - 1 if place.oldest else SHARE) * took)
        place.left_s = place.later_s

    def _catch_up(self, key: str) -> None:
        """A key that has not been there has no claim on what the others have had meanwhile."""
        there = {place.ticket.key for place in self._in("preparing", "waiting", "prefilling")}
        if key in there:
            return
        least = min((self._had_s[other] for other in there), default=math.inf)
        kept = {other: had for other, had in self._had_s.items() if other in there or had > least}
        self._had_s = defaultdict(float, kept)
        if there:
            self._had_s[key] = max(self._had_s[key], least)

    def _in(self, *states: str) -> list[_Place]:
        return [place for place in self._places.values() if place.state in states]

    @staticmethod
    def _oldest(places: list[_Place]) -> _Place:
        return min(places, key=lambda place: (place.ticket.background, place.number))

    def _soonest(self, now: float) -> float:
        """When somebody will have left the queue."""
        busy_s = sum(place.busy_s(now) for place in self._in("prefilling"))
        return max(1.0, busy_s + min((place.left_s for place in self._in("waiting")), default=0.0))


class Gate:
    """A line of coroutines of one event loop. Whoever is cancelled has left it."""

    def __init__(self, rules: Rules | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._line, self._clock = Line(rules), clock
        self._calls: dict[Ticket, asyncio.Event] = {}
        self._standings: dict[Ticket, Waiting] = {}
        self._stood_at = -math.inf
        self.questions = 0  # that have come so far; what is read in the background is none

    @property
    def requests(self) -> int:
        """In the line, with a turn or without."""
        return self._line.requests

    @property
    def queued(self) -> int:
        """Of these, who waits for a turn or will."""
        return self._line.requests - self._line.running

    @property
    def running(self) -> int:
        """Of these, who has a turn."""
        return self._line.running

    @contextmanager
    def entered(self, ticket: Ticket) -> Iterator[None]:
        """A place in the line. Raises Overloaded."""
        self._line.enter(ticket, self._clock())
        self.questions += not ticket.background
        try:
            yield
        finally:
            self._line.leave(ticket, self._clock())
            self._settle()

    def weigh(self, ticket: Ticket, cost_s: float) -> None:
        """Says how many seconds of prefill it will take, in all its slices. Raises Overloaded."""
        self._line.weigh(ticket, cost_s, self._clock())

    async def waiting(self, ticket: Ticket, seconds: float) -> AsyncGenerator[Waiting, None]:
        """Where it stands, each second (of a crowd less often) until its turn has come and then once more; ``turn``
        then enters at once. Nothing where it need not wait."""
        with self._asking(ticket, seconds) as called:
            if self._line.has_turn(ticket):
                return
            while not self._line.has_turn(ticket):
                yield self._standing(ticket)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(REPORT_S, self.queued / REPORTS)):
                        await called.wait()
            yield Waiting(0, 0.0)

    @asynccontextmanager
    async def turn(self, ticket: Ticket, seconds: float) -> AsyncIterator[Callable[[], None]]:
        """A slice of so many seconds of prefill; who has more asks for the next one at once. Gives what is to be
        called at the first token, where an answer follows it."""
        with self._asking(ticket, seconds) as called:
            if not self._line.has_turn(ticket):
                await called.wait()
        try:
            yield lambda: self._prefilled(ticket)
        finally:
            self._line.end(ticket, self._clock())
            # Not now: it may be about to ask for its next slice, and is to be compared with those who wait.
            asyncio.get_running_loop().call_soon(self._settle)

    @contextmanager
    def _asking(self, ticket: Ticket, seconds: float) -> Iterator[asyncio.Event]:
        called = self._calls[ticket] = asyncio.Event()
        self._line.ask(ticket, seconds)
        self._settle()
        try:
            yield called
        except BaseException:
            # Whoever does not wait to the end wants no turn, though it may have come just now.
            self._line.end(ticket, self._clock())
            self._settle()
            raise
        finally:
            self._calls.pop(ticket, None)

    def _standing(self, ticket: Ticket) -> Waiting:
        """As of a moment ago where it stood in the line then: to find out is the same work for one as for all."""
        now = self._clock()
        if now - self._stood_at > STANDING_S or ticket not in self._standings:
            self._standings, self._stood_at = self._line.standings(now), now
        return self._standings[ticket]

    def _prefilled(self, ticket: Ticket) -> None:
        self._line.prefilled(ticket, self._clock())
        self._settle()

    def _settle(self) -> None:
        for ticket in self._line.grant(self._clock()):
            self._calls[ticket].set()
