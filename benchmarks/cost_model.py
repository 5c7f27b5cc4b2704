"""How well a calibrated cost model predicts first tokens, on lengths and cached shares that it was not calibrated on.

    python benchmarks/cost_model.py [--minutes M] [--lengths N] [--repeats R] [--targets T] [--json FILE]

Starts the managed vLLM (OPENBOOK_VLLM_... say which), or asks OPENBOOK_LLM_URL. In one run: it calibrates as `openbook
calibrate` does; then measures N lengths chosen at random, cold and with two cached shares chosen at random, R times
each, with other tokens each time; then T requests of as many tokens as a target affords. Errors are of the prediction
by the calibration alone, and of the one that follows the requests before.

Other programs on the machine delay what is measured here: for each request the processor time that they took is
printed as a share of the machine, and the figures are given for all requests and for those beside which others took
less than a tenth. The same model is fitted to the processor seconds of the server, too, where it is a child: these are
what the request itself costs, whoever else wants the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from rag.calibrate import Sender, calibrate, measured_at, sender_of
from rag.calibrations import Calibration, fingerprint
from rag.compose import chat_client, managed_server
from rag.models.vllm_client import ChatClient
from rag.prefill import LATE, Cost, Observed, Sample, fit
from rag.settings import load_settings

QUIET = 0.1  # share of the machine that others may take beside a request
MEDIAN, P90, IN_TIME = 0.10, 0.20, 0.90  # what is wanted


@dataclass(frozen=True, slots=True)
class Held:
    """A request that the model was not calibrated on, and what went on meanwhile."""

    sample: Sample
    predicted: float
    followed: float
    beside: Beside

    @property
    def error(self) -> float:
        return abs(self.predicted / self.sample.seconds - 1)


@dataclass(frozen=True, slots=True)
class Beside:
    """The share of the processors that other programs took, and the processor seconds of the model server."""

    others: float
    worked: float


class Machine:
    """What goes on from call to call; ``server`` is the process id of the model server's first process."""

    def __init__(self, server: int | None) -> None:
        self._server = psutil.Process(server) if server else None
        self._before = self._now()

    def look(self) -> Beside:
        before, self._before = self._before, self._now()
        wall, busy, us, worked = (now - then for now, then in zip(self._before, before, strict=True))
        return Beside(max(0.0, (busy - us - worked) / (wall * (os.cpu_count() or 1))), worked)

    def _now(self) -> tuple[float, float, float, float]:
        tree = [self._server, *self._server.children(recursive=True)] if self._server else []
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system
        return time.monotonic(), busy, _used(psutil.Process()), sum(map(_used, tree))


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def held_out(
    sender: Sender,
    machine: Machine,
    calibrated: Cost,
    following: Observed,
    window: int,
    lengths: int,
    repeats: int,
) -> list[list[Held]]:
    """By length and share, ``repeats`` of each."""
    rng = random.Random(0)
    found: dict[tuple[int, float], list[Held]] = {}
    chosen = [round(64 * ((window - 64) / 64) ** rng.random()) for _ in range(lengths)]
    shares = {tokens: (0.0, *sorted(rng.uniform(0.05, 0.98) for _ in range(2))[::-1]) for tokens in chosen}
    for _ in range(repeats):
        for tokens in rng.sample(chosen, lengths):
            machine.look()
            at = iter(shares[tokens])
            async for sample in measured_at(sender, tokens, shares[tokens]):
                now = following.cost or calibrated
                held = Held(
                    sample,
                    calibrated.seconds(sample.new, sample.cached),
                    now.seconds(sample.new, sample.cached),
                    machine.look(),
                )
                found.setdefault((tokens, next(at)), []).append(held)
                following.add(sample)
                print(
                    f"{sample.new:5} new, {sample.cached:5} cached: {sample.seconds:7.3f} s, predicted "
                    f"{held.predicted:7.3f} s, following {held.followed:7.3f} s, others {held.beside.others:.0%}",
                    flush=True,
                )
    return list(found.values())


async def on_target(
    sender: Sender, machine: Machine, following: Observed, window: int, count: int
) -> list[tuple[float, float, float]]:
    """Targets, seconds that it took, and the share that others took: behind a cached beginning, as many new tokens as
    the target affords."""
    rng = random.Random(1)
    runs: list[tuple[float, float, float]] = []
    while len(runs) < count:
        cached = sender.fresh(rng.choice((0, 500, 1500, 3000)))
        if cached:
            await sender.first_token(cached)
        cost = following.cost
        assert cost is not None
        target = rng.uniform(0.3, 1.0) * cost.seconds(window // 2, len(cached))
        new = cost.affordable(target, len(cached), window - len(cached) - 64)
        if new < 16:
            continue
        machine.look()
        usage, seconds = await sender.first_token([*cached, *sender.fresh(new)])
        runs.append((target, seconds, machine.look().others))
        hit = usage.cached or 0
        following.add(Sample(usage.prompt - hit, hit, seconds))
        print(
            f"target {target:6.2f} s: {new:5} new, {len(cached):5} cached, started after {seconds:6.2f} s",
            flush=True,
        )
    return runs


def told(name: str, errors: Sequence[float]) -> dict[str, float]:
    if not errors:
        print(f"{name}: none")
        return {}
    median, p90 = float(np.median(errors)), float(np.quantile(errors, 0.9))
    met = "met" if median <= MEDIAN and p90 <= P90 else "missed"
    print(f"{name} ({len(errors)}): median error {median:.1%}, p90 {p90:.1%} (10%, 20%: {met})")
    return {"count": len(errors), "median": median, "p90": p90}


def summary(
    groups: Sequence[Sequence[Held]], runs: Sequence[tuple[float, float, float]]
) -> dict[str, object]:
    held = [each for group in groups for each in group]
    quiet = [each for each in held if each.beside.others < QUIET]
    of_medians = [
        abs(group[0].predicted / statistics.median(h.sample.seconds for h in group) - 1) for group in groups
    ]
    figures: dict[str, object] = {
        "all": told("all requests, calibration alone", [h.error for h in held]),
        "following": told("all requests, following", [abs(h.followed / h.sample.seconds - 1) for h in held]),
        "medians": told("medians of repeats, calibration alone", of_medians),
        "quiet": told(f"beside others below {QUIET:.0%}", [h.error for h in quiet]),
    }
    for name, some in (("targets", runs), ("quiet targets", [run for run in runs if run[2] < QUIET])):
        if some:
            share = sum(seconds <= LATE * target for target, seconds, _ in some) / len(some)
            print(
                f"{name} ({len(some)}): {share:.0%} started within {LATE} x the target (wanted {IN_TIME:.0%})"
            )
            figures[name] = {"count": len(some), "in time": share}
    print(
        f"others took {statistics.median(h.beside.others for h in held):.0%} of the machine beside the median request"
    )
    return figures


def by_work(
    samples: Sequence[Sample], worked: Sequence[float], groups: Sequence[Sequence[Held]]
) -> dict[str, object]:
    """The same with the server's processor seconds for the seconds."""
    if not all(worked):
        return {}
    cost = fit([replace(sample, seconds=each) for sample, each in zip(samples, worked, strict=True)])
    errors = [
        abs(cost.seconds(held.sample.new, held.sample.cached) / held.beside.worked - 1)
        for group in groups
        for held in group
    ]
    return {
        "work": told("processor seconds of the server", errors),
        "cost in processor seconds": asdict(cost),
    }


async def measure(options: argparse.Namespace, scratch: Path) -> dict[str, object]:
    settings = load_settings(data_dir=scratch)
    async with AsyncExitStack() as stack:
        server = managed_server(settings) if settings.llm_url is None else None
        if server:
            stack.push_async_callback(server.stop)
            await server.start()
            await server.wait_ready()
        client: ChatClient = chat_client(settings, server)
        stack.push_async_callback(client.close)
        model = await client.model()
        of = fingerprint(model, server.base_url if server else str(settings.llm_url))
        print(of, f"load {os.getloadavg()[0]:.1f}", platform.platform(), sep=", ", flush=True)
        calibration = Calibration(scratch, of)
        machine, worked = Machine(server.status.pid if server else None), []

        def keep(step: str, sample: Sample) -> None:
            calibration.keep(step, sample)
            worked.append(machine.look().worked)

        began = time.monotonic()
        async for step in calibrate(client, options.minutes * 60, [], keep):
            machine.look()
            print(f"calibrating: {step.tokens} tokens, at most {step.left_s:.0f} s left", flush=True)
        samples = [sample for _, sample in calibration.load()]
        cost = fit(samples)
        print(f"calibrated in {time.monotonic() - began:.0f} s: {cost.describe()}\n{cost}", flush=True)
        sender = await sender_of(client, time.perf_counter)
        following = Observed(cost, samples)
        groups = await held_out(
            sender, machine, cost, following, model.window, options.lengths, options.repeats
        )
        runs = await on_target(sender, machine, following, model.window, options.targets)
    return {
        "of": str(of), "load": os.getloadavg()[0], "cost": asdict(cost),
        "calibration": [asdict(s) for s in samples],
        "held out": [asdict(held) for group in groups for held in group], "targets": runs,
    } | summary(groups, runs) | by_work(samples, worked, groups)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="longest calibration")
    parser.add_argument("--lengths", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--targets", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = asyncio.run(measure(options, Path(scratch)))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
