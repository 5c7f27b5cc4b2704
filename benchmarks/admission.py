"""Short questions beside long prefills on one Spark, with and without the gate: python benchmarks/admission.py

Simulated (evals/mixed_load.py) with the published figures of Qwen3.6-35B-A3B on vLLM: 128k tokens take 44 s, 2k take
0.4 s. A request itself is taken to cost 50 ms, and 0.3 µs for each token that the server finds in its cache, which
slices pay and whole prompts do not. Clients of long contexts ask again at once; short questions come at random.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

from evals.mixed_load import LONG, SHORT, Load, simulate
from rag.prefill import Cost
from rag.priors import find

WHOLE_S = 1e6  # a slice that holds any prompt


def spark() -> Cost:
    prior = find("Qwen3.6-35B-A3B")
    assert prior
    return replace(prior.cost, fixed=0.05, per_cached=3e-7)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cost = spark()
    alone = cost.seconds(LONG)
    print(f"long: {LONG:,} tokens, {alone:.1f} s alone; short: {SHORT:,} tokens, "
          f"{cost.seconds(SHORT):.2f} s; {given.hours:g} h, seed {given.seed}\n")  # fmt: skip
    print("| short/s | long at once | gate | TTFT of short: p50 | p95 | most | long: of alone | worst | long/h "
          "| refused |\n" + 10 * "|---" + "|")  # fmt: skip
    for longs in (1, 3):
        for rate in (0.25, 0.5, 0.75, 1.0, 3.0):
            for slice_s in (None, WHOLE_S, 0.7, 0.35):
                load = Load(rate, longs, seconds=given.hours * 3600, seed=given.seed)
                seen = simulate(load, cost, slice_s)
                how = {None: "none", WHOLE_S: "whole prompts"}.get(slice_s, f"slices of {slice_s} s")
                factors = [seconds / alone / longs for seconds in seen.long]
                print(f"| {rate:g} | {longs} | {how} | {seen.of_short(0.5):.2f} s | {seen.of_short(0.95):.2f} s "
                      f"| {max(seen.short):.2f} s | {statistics.mean(factors):.2f} | {max(factors):.2f} "
                      f"| {len(seen.long) / given.hours:.0f} | {seen.refused} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
