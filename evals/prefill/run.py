"""openbook eval prefill as a whole: the server alone, workloads through each system, waits beside others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals import baseline, corpus
from evals.answers import Measured
from evals.datasets.values import Cases
from evals.engine import Bench, open_bench
from evals.prefill.contextpilot import contextpilot
from evals.prefill.long import long_contexts
from evals.prefill.serving import Baseline, Serving
from evals.prefill.sweep import SERVER, heeds_salts, sweep
from evals.prefill.targets import SHARES, cold_s, on_target, row
from evals.prefill.trace import trace
from evals.prefill.waits import mixed, overhead
from evals.prefill.workloads import NAMES, WorkloadName, turns
from evals.progress import Begin
from evals.report import Outcome, Scores, about
from evals.run import started
from evals.systems import Openbook
from rag import garbage
from rag.settings import Settings

OPENBOOK = "openbook"
NO_CASES = "No questions were given: the model server was measured alone."
NO_SPEED = "No targets: the model server's speed is not known; measure it with: openbook calibrate"
NO_WINDOW = "No long contexts: the model's window does not hold {:,} tokens."
NO_COUNTS = "The server does not tell cached tokens; vLLM does with --enable-prompt-tokens-details."

NO_SALT = "The server ignores cache_salt: what one system or workload has left in its cache helps the next."


@dataclass(frozen=True, slots=True)
class Plan:
    """``lengths`` of prompts to the server alone; ``budget``, ``long`` (0: no mixed load) and ``window`` (0: no long
    contexts) in tokens of documents;
    ``limit`` and ``groups`` as for a workload, and ``groups`` bounds the questions whose waits are measured."""

    lengths: Sequence[int]
    repeats: int = 3
    budget: int = 2000
    limit: int | None = None
    workloads: Sequence[WorkloadName] = NAMES
    groups: int = 20
    long: int = 4000
    window: int = 131072
    baselines: Sequence[Baseline] = ()
    seed: int = 0

    def told(self) -> dict[str, Any]:
        told = asdict(self)
        del told["seed"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


async def evaluate_prefill(
    settings: Settings,
    data: Cases | None,
    path: Path | None,
    plan: Plan,
    pilot_python: Path | None,
    begin: Begin,
) -> Outcome:
    async with open_bench(settings) as bench:
        if Baseline.CONTEXTPILOT in plan.baselines:
            async with contextpilot(pilot_python):
                pass  # whether it is there is told before minutes of work
        await started(bench.server)
        model = (await bench.rag.generator.model()).name
        serving = await written(settings, bench, data, plan.baselines, pilot_python, begin)
        garbage.set_aside()  # as the service does
        async with serving.raw() as raw:
            alone = await sweep(raw, model, bench.rag.tokens, plan.lengths, plan.repeats, plan.seed, begin)
            heeds = await heeds_salts(raw, model, bench.rag.tokens, plan.lengths[0])
        scores: Scores = {SERVER: alone}
        notes = ([] if data else [NO_CASES]) + ([] if heeds else [NO_SALT])
        if data:
            notes += await _workloads(serving, data, plan, scores, begin)
            notes += await _targets(serving, data, plan, scores, begin)
            scores[OPENBOOK] |= await _waits(serving, data, plan, begin)
        if found := await long_contexts(serving, plan.window, plan.repeats, plan.seed, begin):
            scores.setdefault(OPENBOOK, {}).update(found)
        elif plan.window:
            notes.append(NO_WINDOW.format(plan.window))
        if not any("cached share" in measure for case in alone.values() for measure in case):
            notes.append(NO_COUNTS)
        counts = {"documents": len(data.corpus.names), "questions": len(data.cases)} if data else {}
        kind = data.kind if data else None
        told = about(bench.rag, path or Path("random text"), counts, model, kind=kind, **plan.told())
        return Outcome("prefill", scores, told, plan.seed, notes)


async def written(
    settings: Settings,
    bench: Bench,
    data: Cases | None,
    baselines: Sequence[Baseline],
    pilot_python: Path | None,
    begin: Begin,
) -> Serving:
    if data is None:
        return Serving(settings, bench, Openbook(bench.rag, {}))
    await corpus.write(bench.rag, data.corpus, begin)
    theirs = await baseline.build(bench.rag, data.corpus, begin) if baselines else None
    return Serving(settings, bench, Openbook(bench.rag, data.corpus.names), theirs, pilot_python)


async def _workloads(serving: Serving, data: Cases, plan: Plan, scores: Scores, begin: Begin) -> list[str]:
    """Into ``scores``; notes on workloads that the data set has no questions for."""
    notes = []
    for name in plan.workloads:
        asked = turns(name, data, plan.limit, plan.groups, plan.seed)
        if not asked:
            notes.append(f"No workload {name!r}: too few questions whose evidence is known.")
        for system in (None, *plan.baselines) if asked else ():
            async with serving.asker(system, plan.budget) as asker:
                done = begin(f"{asker.name}: {name}", len(asked))
                found = await trace(name, asked, asker, done)
                scores.setdefault(asker.name, {}).update(found)
    scores.setdefault(OPENBOOK, {})
    return notes


async def _targets(serving: Serving, data: Cases, plan: Plan, scores: Scores, begin: Begin) -> list[str]:
    """Of openbook alone, into ``scores``; a note where nothing can be predicted. Each share by an engine of its own, as
    if the server had never been asked before."""
    cases = [turn.case for turn in turns("overlap", data, plan.groups, 0, plan.seed)]
    for share in SHARES:
        async with serving.rag(plan.budget) as (rag, _):
            cold = await cold_s(rag, plan.budget)
            if cold is None:
                return [NO_SPEED]
            done = begin(row(share), len(cases))
            scores[OPENBOOK] |= await on_target(rag, cases, share, cold, done)
    return []


async def _waits(serving: Serving, data: Cases, plan: Plan, begin: Begin) -> dict[str, Measured]:
    """Of openbook alone."""
    cases = [turn.case for turn in turns("overlap", data, None, 0, plan.seed)]
    some, others = cases[: plan.groups], cases[plan.groups :] or cases
    async with serving.rag(plan.budget) as (rag, salted), serving.raw() as raw:
        found = await overhead(rag, salted, raw, some, begin("overhead", len(some)))
    if plan.long:
        async with serving.rag(plan.budget) as (rag, _):
            found |= await mixed(rag, some, others, plan.long, begin("mixed load", len(some)))
    return found
