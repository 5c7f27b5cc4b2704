"""The trace that is played against a real vLLM elsewhere: what it holds, and that mirror and simulator agree on it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from evals.simulator import trace
from evals.simulator.engine import Engine, Request, Virtual
from rag.prefill import Cost
from rag.prefix_cache import PrefixCache


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(("block_size", "blocks"), [(16, 64), (32, 64), (128, 400)])
def test_the_simulator_counts_as_the_mirror(block_size: int, blocks: int, ahead: bool) -> None:
    rng = random.Random(3)
    mirror, cache = PrefixCache(block_size, blocks), PrefixCache(block_size, blocks)
    engine = Engine(cache, Cost(0, 1e-4, 0), 1e-3, max_batched_tokens=100, async_scheduling=ahead)
    clock = Virtual(engine)

    def ask(prompt: Sequence[int], step: trace.Step) -> tuple[list[int], int]:
        generated = [rng.randrange(9) for _ in range(1 if step.stop_early else step.max_tokens)]
        request = clock.submit(Request(prompt, generated, step.max_tokens, step.salt))
        clock.run()
        assert request.cached is not None
        return generated, request.cached

    made = trace.steps(200, seed=0)
    played = list(trace.play(made, ask))
    assert {step.kind for step in made} == {"new", "again", "salted", "shared", "goes on"}
    assert max(len(each.prompt) for each in played) <= 900
    said = [trace.predicted(mirror, each, async_scheduling=ahead) for each in played]
    assert said == [each.cached for each in played]
    assert cache.resident_blocks == mirror.resident_blocks


def test_a_conversation_goes_on_behind_what_was_generated() -> None:
    made = [
        trace.Step("new", (1, 2, 3)),
        trace.Step("goes on", (7,), 0),
        trace.Step("shared", (8,), 1, keep=2),
    ]
    prompts = [each.prompt for each in trace.play(made, lambda _prompt, _step: ([4, 5], 0))]
    assert prompts == [(1, 2, 3), (1, 2, 3, 4, 5, 7), (1, 2, 8)]
