from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import virtual_time
from rag.admission import AHEAD_S, REPORTS, SHARE, Gate, Line, Rules, Ticket, Waiting
from rag.errors import Overloaded, from_code
from rag.prefill import Cost
from rag.slices import slices

SLICE_S = 0.7


class Clients:
    """Requests to one gate in virtual time. ``spans`` has when each came, began to be read and was read."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.gate = Gate(rules, self.loop.time)
        self.spans: dict[str, tuple[float, float, float]] = {}
        self.order: list[str] = []
        self.prefilling = self.running = self.most_prefilling = self.most_running = 0

    async def ask(
        self, name: str, cost_s: float, ticket: Ticket | None = None, at: float = 0.0, answer_s: float = 0.0
    ) -> None:
        await asyncio.sleep(at)
        ticket = ticket or Ticket()
        came, began, left = self.loop.time(), None, cost_s
        with self.gate.entered(ticket):
            self.gate.weigh(ticket, cost_s)
            while left > 1e-9:
                seconds = min(SLICE_S, left)
                async with self.gate.turn(ticket, seconds) as prefilled:
                    began = self.loop.time() if began is None else began
                    await self._read(name, seconds)
                    left -= seconds
                    if left <= 1e-9:
                        prefilled()
                        self.spans[name] = (came, began, self.loop.time())
                        await self._answering(answer_s)

    async def _read(self, name: str, seconds: float) -> None:
        self.order.append(name)
        self.prefilling += 1
        self.running += 1
        self.most_prefilling = max(self.most_prefilling, self.prefilling)
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.prefilling -= 1
            self.running -= 1

    async def _answering(self, seconds: float) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1


def timed(main: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        await main()

    virtual_time.run(within())


def first_turns(order: list[str]) -> list[str]:
    return list(dict.fromkeys(order))


def test_a_short_one_passes_between_two_slices_of_a_long_one() -> None:
    async def main() -> None:
        clients = Clients()
        await asyncio.gather(clients.ask("long", 45), clients.ask("short", 0.4, at=10))
        came, began, read = clients.spans["short"]
        assert began - came <= SLICE_S
        assert read - began == pytest.approx(0.4)
        assert clients.spans["long"][2] == pytest.approx(45.4)

    timed(main)


def test_of_two_long_ones_the_first_ends_before_the_second_begins() -> None:
    """In turns, both would end late."""

    async def main() -> None:
        clients = Clients()
        await asyncio.gather(clients.ask("first", 10), clients.ask("second", 9.5, at=2))
        assert clients.spans["second"][1] == pytest.approx(clients.spans["first"][2]) == pytest.approx(10)

    timed(main)


def test_priority_goes_first() -> None:
    async def main() -> None:
        clients = Clients()
        await asyncio.gather(
            clients.ask("reading", 0.5),
            clients.ask("low", 0.1, Ticket(-1), at=0.1),
            clients.ask("usual", 0.2, at=0.1),
            clients.ask("high", 0.6, Ticket(1), at=0.2),
        )
        assert first_turns(clients.order) == ["reading", "high", "usual", "low"]

    timed(main)


def test_what_is_read_in_the_background_waits_until_nobody_else_does() -> None:
    async def main() -> None:
        clients = Clients()
        background = Ticket(priority=10, background=True)
        await asyncio.gather(
            clients.ask("warm-up", 3.5, background),
            *(clients.ask(f"question {n}", 1.4, at=1) for n in range(20)),
        )
        assert clients.order[0] == "warm-up"
        assert min(began for _, began, _ in clients.spans.values() if began > 0) <= 1 + SLICE_S
        assert clients.spans["warm-up"][2] == max(read for _, _, read in clients.spans.values())
        assert clients.order[-3:] == ["warm-up"] * 3

    timed(main)


def test_a_key_with_a_hundred_requests_does_not_starve_another() -> None:
    async def main() -> None:
        clients = Clients(Rules(queue_limit=200))
        many = [clients.ask(f"a{n}", 0.4, Ticket(key="a")) for n in range(100)]
        await asyncio.gather(*many, clients.ask("b", 3.0, Ticket(key="b"), at=1))
        came, _, read = clients.spans["b"]
        assert read - came <= 2 * 3.0 + AHEAD_S + SLICE_S

    timed(main)


def test_a_key_that_was_idle_has_no_claim_on_the_past() -> None:
    async def main() -> None:
        clients = Clients(Rules(queue_limit=200))
        of_a = [clients.ask(f"a{n}", 0.5, Ticket(key="a"), at=n / 2) for n in range(200)]
        of_b = [clients.ask(f"b{n}", 0.5, Ticket(key="b"), at=50) for n in range(40)]
        await asyncio.gather(*of_a, *of_b)
        delays = [read - came for name, (came, _, read) in clients.spans.items() if name.startswith("a")]
        assert max(delays) < 40  # with a claim for 50 s, b would have all of them before

        turns = clients.order[100:180]
        assert 30 <= sum(name.startswith("a") for name in turns) <= 50

    timed(main)


@given(
    longs=st.lists(st.tuples(st.floats(0, 20), st.floats(1, 30)), min_size=1, max_size=4),
    short_s=st.floats(0.2, 0.7),
    clients_of_short=st.integers(1, 6),
    keys=st.integers(1, 3),
)
def test_nobody_starves_whatever_comes_later(
    longs: list[tuple[float, float]], short_s: float, clients_of_short: int, keys: int
) -> None:
    """There is always a short one that waits, of a higher priority, and of keys of their own."""

    async def main() -> None:
        clients = Clients(Rules(max_wait_s=10**6))

        async def shorts(number: int) -> None:
            while True:
                ticket = Ticket(priority=5, key=f"key {number % keys}")
                await clients.ask("short", short_s, ticket)

        async with asyncio.TaskGroup() as group:
            flood = [group.create_task(shorts(number)) for number in range(clients_of_short)]
            await asyncio.gather(*(clients.ask(str(n), cost, at=at) for n, (at, cost) in enumerate(longs)))
            for task in flood:
                task.cancel()

        for n, (at, cost) in enumerate(longs):
            older_s = sum(other for m, (before, other) in enumerate(longs) if m != n and before <= at)
            older_s += clients_of_short * short_s
            came, _, read = clients.spans[str(n)]
            assert read - came <= (older_s + cost) / SHARE + AHEAD_S + 2 * SLICE_S

    timed(main)


@given(
    prefills=st.integers(1, 3),
    answers=st.integers(1, 5),
    asked=st.lists(
        st.tuples(st.floats(0, 5), st.floats(0.01, 4), st.floats(0, 5), st.integers(-2, 2)),
        min_size=1,
        max_size=20,
    ),
    cancelled=st.lists(st.tuples(st.integers(0, 19), st.floats(0, 10)), max_size=10),
)
def test_limits_hold_all_are_served_and_cancelled_ones_leave_nothing(
    prefills: int,
    answers: int,
    asked: list[tuple[float, float, float, int]],
    cancelled: list[tuple[int, float]],
) -> None:
    async def main() -> None:
        clients = Clients(Rules(prefills, answers, max_wait_s=10**6))
        tasks = [
            asyncio.create_task(clients.ask(str(n), cost, Ticket(priority), at, answer))
            for n, (at, cost, answer, priority) in enumerate(asked)
        ]
        for number, at in cancelled:
            clients.loop.call_later(at, tasks[number % len(tasks)].cancel)
        await asyncio.wait(tasks)
        assert clients.most_prefilling <= prefills
        assert clients.most_running <= answers
        assert clients.gate.requests == 0
        for n, task in enumerate(tasks):
            assert task.cancelled() or str(n) in clients.spans
        await clients.ask("next", 1.0)  # the slots are free again
        came, began, _ = clients.spans["next"]
        assert began == came

    timed(main)


def test_an_answer_holds_no_slot_but_a_place() -> None:
    async def main() -> None:
        clients = Clients(Rules(answers_at_once=2))
        await asyncio.gather(*(clients.ask(str(n), 0.5, answer_s=10) for n in range(3)))
        assert [round(began, 1) for _, began, _ in clients.spans.values()] == [0.0, 0.5, 10.5]

    timed(main)


def test_a_full_queue_answers_at_once() -> None:
    async def main() -> None:
        clients = Clients(Rules(queue_limit=3))
        running = asyncio.create_task(clients.ask("long", 45))
        waiting = [asyncio.create_task(clients.ask(str(n), 5, at=1)) for n in range(3)]
        await asyncio.sleep(2)
        with pytest.raises(Overloaded, match=r"3 questions wait already.*OPENBOOK_QUEUE_LIMIT") as caught:
            await clients.ask("one too many", 0.1)
        assert clients.loop.time() == 2
        assert caught.value.retryable
        assert 1 <= caught.value.retry_after_s <= 10
        await asyncio.gather(running, *waiting)
        await clients.ask("later", 0.1)

    timed(main)


def test_who_would_wait_too_long_is_told_at_once_and_short_ones_still_pass() -> None:
    async def main() -> None:
        clients = Clients(Rules(max_wait_s=60))
        tasks = [asyncio.create_task(clients.ask(str(n), 45)) for n in range(2)]
        await asyncio.sleep(1)
        with pytest.raises(Overloaded, match=r"would wait for 89 s, longer than 60") as caught:
            await clients.ask("third", 45)
        assert caught.value.retry_after_s == 29
        assert clients.gate.requests == 2
        await clients.ask("short", 0.4)
        assert clients.spans["short"][2] < 3
        await asyncio.gather(*tasks)

    timed(main)


def test_the_error_travels_by_its_code() -> None:
    error = from_code("Overloaded", "full", "")
    assert isinstance(error, Overloaded)
    assert error.retryable


def test_position_and_start_are_told_each_second_until_the_turn_comes() -> None:
    async def main() -> None:
        clients = Clients()
        first = asyncio.create_task(clients.ask("first", 4))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(clients.ask("second", 5))
        await asyncio.sleep(0.1)
        ticket, told = Ticket(), list[tuple[float, Waiting]]()
        with clients.gate.entered(ticket):
            clients.gate.weigh(ticket, 20)
            async with aclosing(clients.gate.waiting(ticket, 1)) as reports:
                async for waiting in reports:
                    told.append((clients.loop.time(), waiting))
            begun = clients.loop.time()
            async with clients.gate.turn(ticket, 1):
                assert clients.loop.time() == begun
        times = [at for at, _ in told]
        assert all(later - at <= 1.0 + 1e-6 for at, later in zip(times, [*times[1:], begun], strict=True))
        assert [told[0][1].position, told[-2][1].position] == [3, 2]
        assert told[-1] == (begun, Waiting(0, 0.0))
        for at, waiting in told:
            assert at + waiting.start_s == pytest.approx(begun, abs=0.01)
        await asyncio.gather(first, second)

    timed(main)


def test_of_a_crowd_each_is_told_less_often() -> None:
    async def main() -> None:
        clients = Clients(Rules(queue_limit=300))
        told = list[int]()

        async def wait(ticket: Ticket) -> None:
            with clients.gate.entered(ticket):
                async with aclosing(clients.gate.waiting(ticket, 0.1)) as reports:
                    told.extend([waiting.position async for waiting in reports])
                async with clients.gate.turn(ticket, 0.1):
                    pass

        first = asyncio.create_task(clients.ask("first", 30))
        await asyncio.sleep(0.1)
        tickets = [Ticket(priority=-1) for _ in range(200)]
        await asyncio.gather(first, *map(wait, tickets))
        last = told.count(0)
        assert last == 200
        assert set(range(2, 202)) <= set(told)
        assert len(told) - last <= 200 + 30 * REPORTS

    timed(main)


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 1), st.sampled_from("ab"), st.booleans(), st.floats(0, 30), st.floats(0.1, 1)
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 3),
    st.floats(0, 5),
)
def test_the_standings_of_all_say_what_is_said_of_each(
    asked: list[tuple[int, str, bool, float, float]], at_once: int, passed_s: float
) -> None:
    line = Line(Rules(prefills_at_once=at_once, answers_at_once=4, max_wait_s=1e9))
    tickets = [Ticket(priority, key, background) for priority, key, background, _, _ in asked]
    for ticket, (*_, cost_s, slice_s) in zip(tickets, asked, strict=True):
        line.enter(ticket, 0.0)
        line.weigh(ticket, cost_s, 0.0)
        line.ask(ticket, slice_s)
    for ticket in line.grant(0.0)[1:]:
        line.end(ticket, passed_s)
        line.ask(ticket, 0.1)
    standings = line.standings(passed_s)
    assert standings == {ticket: line.waiting(ticket, passed_s) for ticket in tickets}
    waiting = [standings[ticket] for ticket in tickets if not line.has_turn(ticket)]
    assert sorted(each.position for each in waiting) == sorted({each.position for each in waiting})


def test_nothing_is_told_to_one_that_need_not_wait() -> None:
    async def main() -> None:
        gate, ticket = Gate(), Ticket()
        with gate.entered(ticket):
            assert [waiting async for waiting in gate.waiting(ticket, 1)] == []
            async with gate.turn(ticket, 1):
                pass

    asyncio.run(main())


def test_who_stops_waiting_has_no_turn() -> None:
    async def main() -> None:
        clients = Clients()
        other = asyncio.create_task(clients.ask("other", 2))
        await asyncio.sleep(0.1)
        ticket = Ticket()
        with clients.gate.entered(ticket):
            async with aclosing(clients.gate.waiting(ticket, 1)) as reports:
                async for _ in reports:
                    break
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), clients.gate.turn(ticket, 1):
                    raise AssertionError("it has no turn")
            await other
            await clients.ask("third", 1.0)
        assert clients.gate.requests == 0

    timed(main)


def test_an_error_in_a_turn_frees_the_slot() -> None:
    async def main() -> None:
        gate, ticket = Gate(), Ticket()
        with gate.entered(ticket):
            with pytest.raises(ValueError, match="server"):
                async with gate.turn(ticket, 1):
                    raise ValueError("server")
            async with asyncio.timeout(1), gate.turn(ticket, 1):
                pass

    asyncio.run(main())


def ends(per_token: float, cached: int, total: int, block: int = 16) -> list[int]:
    parts = slices(Cost(fixed=0.0, per_token=per_token, per_pair=0.0), cached, total, 1.0, block)
    assert [part.start for part in parts] == [cached, *(part.end for part in parts[:-1])]
    return [part.end for part in parts]


def test_slices_end_at_blocks_and_take_the_time_allowed() -> None:
    assert ends(0.001, 0, 2500) == [992, 1984, 2500]
    assert ends(0.001, 1000, 2500) == [2000, 2500]
    assert ends(0.001, 0, 1000) == [1000]
    assert ends(0.001, 500, 500) == [500]
    assert ends(10.0, 0, 40) == [16, 32, 40]  # never less than a block


def test_slices_take_alike_long_at_every_depth() -> None:
    cost = Cost(fixed=0.05, per_token=1.6e-4, per_pair=2.7e-9, per_cached=3e-7)
    parts = slices(cost, 0, 131072, 0.7, 16)
    assert all(0.68 <= part.seconds <= 0.7 for part in parts[:-1])
    assert parts[0].end > 2 * (parts[-2].end - parts[-2].start)
    assert sum(part.seconds for part in parts) <= 1.15 * cost.seconds(131072)


@given(
    cached=st.integers(0, 5000),
    more=st.integers(0, 5000),
    rate=st.integers(1, 5000),
    block=st.sampled_from([1, 16, 528]),
)
def test_slices_go_on_to_the_end(cached: int, more: int, rate: int, block: int) -> None:
    made = ends(1 / rate, cached, cached + more, block)
    assert made[-1] == cached + more
    assert all(end % block == 0 and end > cached for end in made[:-1])
    starts = [cached, *made]
    assert all(0 <= end - start <= max(rate, block) for start, end in zip(starts, made, strict=False))
