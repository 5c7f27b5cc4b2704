"""The mirror of vLLM's prefix cache: known sequences, and against a plain transcription of vLLM's block pool."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from conftest import ROOT
from rag.prefix_cache import Lease, NoRoom, PrefixCache
from rag.settings import load_settings

Key = tuple[str, tuple[int, ...]]  # salt and the whole text up to the block's end

A, B, C, D = ([n] * 4 for n in range(4))


def cache(capacity: int = 100) -> PrefixCache:
    return PrefixCache(4, capacity)


def test_a_prompt_again_is_cached_but_for_its_last_block() -> None:
    mirror = cache()
    assert mirror.run([*A, *B, 9]) == 0
    assert mirror.match([*A, *B, 9]) == 8
    assert mirror.run([*A, *B, 9]) == 8
    assert mirror.match([*A, *B]) == 4  # the last token is computed, and with it its block
    assert mirror.match(A) == 0
    assert mirror.match([]) == 0


def test_a_changed_token_loses_everything_after_it() -> None:
    mirror = cache()
    mirror.run([*A, *B, *C, 9])
    assert mirror.match([*A, *B, *D, 9]) == 8
    assert mirror.match([*D, *B, *C, 9]) == 0
    assert mirror.match([*B, *C, 9]) == 0


def test_a_salt_parts_the_caches() -> None:
    mirror = cache()
    mirror.run([*A, *B, 9], salt="one")
    assert mirror.match([*A, *B, 9]) == 0
    assert mirror.match([*A, *B, 9], "two") == 0
    assert mirror.match([*A, *B, 9], "one") == 8


def test_what_was_generated_is_cached_but_for_its_last_token() -> None:
    mirror = cache()
    mirror.run([*A, 1, 1], [1, 1])
    assert mirror.match([*A, *B, 9]) == 4
    mirror.run([*A, 1, 1], [1, 1, 7])
    assert mirror.match([*A, *B, 9]) == 8


def test_the_least_recently_used_goes_first_and_the_end_of_a_text_before_its_beginning() -> None:
    mirror = cache(capacity=6)  # five, and the placeholder
    mirror.run([*A, *B])
    mirror.run([*C, *D])
    assert mirror.resident_blocks == 4
    mirror.run([*D, *D])  # one is blank; the other takes the place of B, the end of the oldest
    assert mirror.match([*A, *B, 9]) == 4
    assert mirror.match([*C, *D, 9]) == 8
    mirror.run([*A, 9])  # A is used again; the 9 takes the place of D after C, and leaves it blank
    mirror.run([*B, *B])
    assert mirror.match([*A, 9]) == 4
    assert mirror.match([*C, 9]) == 0


@pytest.mark.parametrize(("ran_ahead", "left"), [(False, 8), (True, 4)])
def test_one_that_ran_ahead_takes_a_block_for_nothing(ran_ahead: bool, left: int) -> None:
    mirror = cache(capacity=5)
    mirror.run([*A, *B])
    mirror.run([*C, 5, 5, 5, 5], [2], ran_ahead=ran_ahead)  # its last token would begin a third block
    assert mirror.match([*A, *B, 9]) == left
    mirror.run([*C, 6, 6, 6], [2], ran_ahead=ran_ahead)  # here it has a place
    assert mirror.match([*C, 6, 9]) == 4


def test_a_running_request_keeps_its_blocks() -> None:
    mirror = cache(capacity=5)
    running = mirror.begin([*A, *B])
    with pytest.raises(NoRoom):
        mirror.begin([*C, *C, *C])
    mirror.run([*C, *D])
    mirror.run([*D, *D])
    assert mirror.match([*A, *B, 9]) == 8
    running.end()
    mirror.run([*C, *C, *C, *C])
    assert mirror.match([*A, 9]) == 0


def test_prefill_in_chunks_is_found_as_far_as_it_went() -> None:
    mirror = cache()
    mirror.run([*A, 9])
    running = mirror.begin([*A, *B, *C, 9], first_chunk=6)
    assert (running.cached, running.computed, running.length) == (4, 10, 13)
    assert mirror.match([*A, *B, *C, 9]) == 8
    running.compute(13)
    assert mirror.match([*A, *B, *C, 9]) == 12
    running.end()


def test_keys_made_before_serve_as_well() -> None:
    mirror = cache()
    prompt = [*A, *B, 9]
    keys = mirror.keys(prompt, "salt")
    assert len(keys) == 2
    assert mirror.resident(keys) == 0
    mirror.begin(prompt, "salt", keys=keys).end()
    assert mirror.resident(keys) == 2
    assert mirror.match(prompt, "salt") == 8
    assert mirror.keys([*prompt, 1, 1, 1], "salt")[:2] == keys


def test_keys_that_are_known_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = PrefixCache(4, 10)
    mirror.run([*A, *B, 9], salt="one")
    keys = mirror.keys([*A, *B, *C], "one")
    monkeypatch.delattr(PrefixCache, "keys")
    assert mirror.match([*A, *B, *C], "one", keys=keys) == 8
    lease = mirror.begin([*A, *B, *C], "one", keys=keys)
    assert lease.cached == 8


def test_a_cache_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="can hold nothing"):
        PrefixCache(16, 1)


def test_a_window_of_tokens_is_matched_in_milliseconds() -> None:
    mirror = PrefixCache(16, 20_000)
    prompt = [n * 7919 % 150_000 for n in range(131_072)]
    mirror.run(prompt)
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        assert mirror.match(prompt) == len(prompt) - 16
        best = min(best, time.perf_counter() - start)
    assert best < 0.1  # 0.015 on an idle machine


@pytest.mark.vllm
def test_random_requests_find_the_same_in_vllm_s_own_cache_manager() -> None:
    script = ROOT / "benchmarks" / "cache_blocks.py"
    command = [str(load_settings().vllm_python), str(script), "--steps", "5000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VLLM_NO_USAGE_STATS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "5,000 steps alike" in done.stdout) == (0, True), done.stdout + done.stderr


class Pool:
    """vLLM's block pool and full attention manager, word for word but for what no request here can reach."""

    def __init__(self, block_size: int, num_blocks: int) -> None:
        self.size = block_size
        self.free = list(range(1, num_blocks))  # block 0 is the null block
        self.references = [0] * num_blocks
        self.hashes: list[Key | None] = [None] * num_blocks
        self.cached: dict[Key, dict[int, None]] = {}

    def hits(self, tokens: Sequence[int], salt: str) -> list[int]:
        found = []
        for i in range((len(tokens) - 1) // self.size):
            blocks = self.cached.get((salt, tuple(tokens[: (i + 1) * self.size])))
            if not blocks:
                break
            found.append(next(iter(blocks)))
        return found

    def needed(self, tokens: int, hits: Sequence[int]) -> int:
        blocks = -(-tokens // self.size)
        return blocks - len(hits) + sum(self.references[block] == 0 for block in hits)

    def touch(self, blocks: Sequence[int]) -> None:
        for block in blocks:
            if self.references[block] == 0:
                self.free.remove(block)
            self.references[block] += 1

    def allocate(self, count: int) -> list[int]:
        taken, self.free = self.free[:count], self.free[count:]
        for block in taken:
            if (key := self.hashes[block]) is not None:
                del self.cached[key][block]
                if not self.cached[key]:
                    del self.cached[key]
                self.hashes[block] = None
            self.references[block] = 1
        return taken

    def store(self, block: int, key: Key) -> None:
        if self.hashes[block] is None:
            self.hashes[block] = key
            self.cached.setdefault(key, {})[block] = None

    def release(self, blocks: Sequence[int]) -> None:
        first: list[int] = []
        last: list[int] = []
        for block in reversed(blocks):
            self.references[block] -= 1
            if self.references[block] == 0:
                (first if self.hashes[block] is None else last).append(block)
        self.free = first + self.free + last


class Sequenced:
    def __init__(self, pool: Pool, tokens: list[int], salt: str, chunk: int) -> None:
        self.pool, self.tokens, self.salt = pool, tokens, salt
        self.blocks = pool.hits(tokens, salt)
        self.cached = self.computed = len(self.blocks) * pool.size
        if pool.needed(len(tokens), self.blocks) > len(pool.free):
            raise NoRoom
        pool.touch(self.blocks)
        self.compute(min(self.cached + chunk, len(tokens)))

    def compute(self, upto: int) -> None:
        more = max(-(-upto // self.pool.size) - len(self.blocks), 0)
        if more > len(self.pool.free):
            raise NoRoom
        self.blocks += self.pool.allocate(more)
        self.computed = max(self.computed, upto)
        for i in range(self.computed // self.pool.size):
            self.pool.store(self.blocks[i], (self.salt, tuple(self.tokens[: (i + 1) * self.pool.size])))


class AgainstThePool(RuleBasedStateMachine):
    running: Bundle[tuple[Lease, Sequenced]] = Bundle("running")
    prompts = st.lists(st.sampled_from([0, 1]), min_size=1, max_size=14)
    salts = st.sampled_from(["", "s"])

    def __init__(self) -> None:
        super().__init__()
        self.mirror, self.pool = PrefixCache(2, 12), Pool(2, 12)

    @rule(target=running, prompt=prompts, salt=salts, chunk=st.integers(1, 14))
    def begin(self, prompt: list[int], salt: str, chunk: int) -> Any:
        assert self.mirror.match(prompt, salt) == 2 * len(self.pool.hits(prompt, salt))
        try:
            real = Sequenced(self.pool, list(prompt), salt, chunk)
        except NoRoom:
            with pytest.raises(NoRoom):
                self.mirror.begin(prompt, salt, first_chunk=chunk)
            return multiple()
        lease = self.mirror.begin(prompt, salt, first_chunk=chunk)
        assert (lease.cached, lease.computed) == (real.cached, real.computed)
        return lease, real

    @rule(both=running, chunk=st.integers(1, 6))
    def prefill(self, both: tuple[Lease, Sequenced], chunk: int) -> None:
        lease, real = both
        upto = min(real.computed + chunk, len(real.tokens))
        try:
            real.compute(upto)
        except NoRoom:
            with pytest.raises(NoRoom):
                lease.compute(upto)
        else:
            lease.compute(upto)

    @rule(both=running, token=st.sampled_from([0, 1]))
    def decode(self, both: tuple[Lease, Sequenced], token: int) -> None:
        lease, real = both
        if real.computed < len(real.tokens) - 1:
            return
        try:
            real.compute(len(real.tokens))
        except NoRoom:
            with pytest.raises(NoRoom):
                lease.compute(lease.length)
            return
        lease.compute(lease.length)
        real.tokens.append(token)
        lease.extend([token])
        assert lease.length == len(real.tokens)

    @rule(both=consumes(running))
    def end(self, both: tuple[Lease, Sequenced]) -> None:
        lease, real = both
        lease.end()
        self.pool.release(real.blocks)

    @rule(prompt=prompts, generated=st.lists(st.sampled_from([0, 1]), max_size=5), salt=salts)
    def run_alone(self, prompt: list[int], generated: list[int], salt: str) -> None:
        if -(-len(prompt + generated) // 2) > len(self.pool.free):
            return
        real = Sequenced(self.pool, list(prompt), salt, len(prompt))
        for token in generated:
            real.compute(len(real.tokens))
            real.tokens.append(token)
        self.pool.release(real.blocks)
        assert self.mirror.run(prompt, generated, salt) == real.cached

    @invariant()
    def the_same_is_resident(self) -> None:
        assert self.mirror.resident_blocks == len(self.pool.cached)
        for salt, tokens in self.pool.cached:
            assert self.mirror.match([*tokens, 9], salt) == 2 * len(self.pool.hits([*tokens, 9], salt))


TestAgainstThePool = AgainstThePool.TestCase
