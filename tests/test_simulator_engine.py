"""The simulated scheduler: what a request costs alone, in pieces, beside others, and when room runs out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.simulator.engine import Engine, Request, Virtual
from rag.prefix_cache import PrefixCache


class Cost:
    """A tenth of a second for a request, a millisecond for a token, a microsecond for a pair."""

    def seconds(self, new: int, cached: int) -> float:
        return 0.1 + 1e-3 * new + 1e-6 * (new * cached + new * new / 2)


def virtual(blocks: int = 1000, max_batched_tokens: int = 64) -> Virtual:
    return Virtual(Engine(PrefixCache(4, blocks), Cost(), 0.02, max_batched_tokens=max_batched_tokens))


def ids(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


@given(length=st.integers(1, 700), piece=st.integers(1, 300))
def test_pieces_of_a_prompt_take_as_long_as_the_whole(length: int, piece: int) -> None:
    clock = virtual(max_batched_tokens=piece)
    request = clock.submit(Request(ids(0, length), [7]))
    clock.run()
    assert request.first_token_s == pytest.approx(Cost().seconds(length, 0))
    again = clock.submit(Request(ids(0, length), [7]))
    clock.run()
    assert again.cached == (length - 1) // 4 * 4
    assert again.first_token_s == pytest.approx(Cost().seconds(length - again.cached, again.cached))


def test_an_answer_is_written_a_token_a_step() -> None:
    clock = virtual()
    request = clock.submit(Request(ids(0, 10), [1, 2, 3, 4, 5], max_tokens=3), at=1.0)
    clock.run()
    first = 1.0 + Cost().seconds(10, 0)
    assert request.times == pytest.approx([first, first + 0.02, first + 0.04])
    assert request.generated == [1, 2, 3]
    assert clock.engine.cache.match([*ids(0, 10), 1, 2, 3, 9]) == 12


def test_a_question_waits_for_its_share_of_a_step_and_no_longer() -> None:
    """The long one takes whole steps; the short one behind it begins in the first that has room."""
    clock = virtual()
    long = clock.submit(Request(ids(0, 64 * 4), [1]))
    short = clock.submit(Request(ids(1000, 8), [1]), at=0.01)
    clock.run()
    assert long.times[0] < short.times[0]
    assert short.times[0] == pytest.approx(long.times[0] + Cost().seconds(8, 0))


def test_answers_go_on_beside_a_long_prompt() -> None:
    clock = virtual()
    first = clock.submit(Request(ids(0, 4), ids(0, 50), max_tokens=50))
    long = clock.submit(Request(ids(1000, 300), [1]), at=0.5)
    clock.run()
    during = [t for t in first.times if long.arrived < t <= long.times[0]]
    assert len(during) >= 300 // 64
    assert max(b - a for a, b in zip(first.times, first.times[1:], strict=False)) < 0.3


def test_what_two_share_is_computed_once_even_side_by_side() -> None:
    clock = virtual(max_batched_tokens=100)
    one = clock.submit(Request(ids(0, 40), [1]))
    two = clock.submit(Request([*ids(0, 36), 9, 9], [1]))
    clock.run()
    assert (one.cached, two.cached) == (0, 36)
    assert one.times == two.times


def test_one_that_came_last_makes_room_and_goes_on_later() -> None:
    clock = virtual(blocks=9)  # 32 tokens
    one = clock.submit(Request(ids(0, 12), ids(50, 12), max_tokens=12))
    two = clock.submit(Request(ids(100, 14), ids(70, 12), max_tokens=12))
    clock.run()
    assert (len(one.times), len(two.times)) == (12, 12)
    assert two.times[-1] > one.times[-1]
    assert two.cached == 0
    assert not clock.engine.running
    assert clock.engine.cache.begin(ids(500, 32)).cached == 0  # nothing is held any more


def test_a_cancelled_request_leaves_its_text_and_no_more() -> None:
    clock = virtual()
    request = clock.submit(Request(ids(0, 640), [1]))
    waiting = clock.submit(Request(ids(900, 10), [1]))
    clock.advance()
    clock.engine.cancel(request)
    clock.engine.cancel(waiting)
    clock.run()
    assert not request.times
    assert not waiting.times
    assert clock.engine.cache.match(ids(0, 640)) == 64


def test_no_more_run_than_may() -> None:
    clock = Virtual(Engine(PrefixCache(4, 100), Cost(), 0.02, max_batched_tokens=1000, max_running=1))
    one = clock.submit(Request(ids(0, 8), [1, 1], max_tokens=2))
    two = clock.submit(Request(ids(50, 8), [1]))
    clock.run()
    assert two.times[0] == pytest.approx(one.times[-1] + Cost().seconds(8, 0))


def test_a_request_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        virtual().engine.add(Request(ids(0, 8), []))
