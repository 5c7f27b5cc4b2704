"""A whole evaluation: open an engine, write the data, measure each system, and say what it was measured with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from evals import answers, baseline, corpus, needle, retrieval
from evals.baseline import LlamaIndex
from evals.bm25_files import Bm25Files
from evals.datasets.values import Cases, Corpus, Rankings
from evals.engine import Bench, open_bench
from evals.generation import served
from evals.progress import Begin
from evals.report import Outcome, Scores, about
from evals.systems import Openbook, Ranker, System, halves
from ingest.report import FileResult
from rag.children import ModelServer
from rag.compose import open_rag
from rag.errors import BadRequest
from rag.ports import ModelInfo
from rag.question import Filter
from rag.settings import Settings

NO_MODEL = "No model was asked: figures are of what is read, not of answers. With --generate one is."


async def evaluate_retrieval(
    settings: Settings, data: Rankings, path: Path, *, compared: bool, seed: int, begin: Begin
) -> Outcome:
    async with open_bench(settings) as bench:
        ours, theirs = await _written(bench, data.corpus, compared, begin)
        scores = await retrieval.evaluate(data, [*_systems(ours, theirs), *halves(ours)], begin)
        counts = {"documents": len(data.corpus.records), "queries": len(data.queries)}
        return Outcome("retrieval", scores, about(bench.rag, path, counts, None, kind=data.kind), seed)


async def evaluate_code(
    settings: Settings, projects: Mapping[str, Rankings], path: Path, *, seed: int, begin: Begin
) -> Outcome:
    """Each project in a store of its own; its figures bear its name. Raises BadRequest where there is none."""
    if not projects:
        raise BadRequest(f"{path} holds no project.", "file_qrels/NAME.tsv makes one; see docs/evals.md.")
    scores: Scores = {}
    notes: list[str] = []
    counts: dict[str, int] = {}
    for name, data in projects.items():
        async with open_bench(settings) as bench:
            expected = {document for id_ in data.queries for document in data.relevant[id_]}
            failed = await corpus.write(bench.rag, data.corpus, begin, expected)
            notes += _left_out(name, failed)
            ours = Openbook(bench.rag, data.corpus.names, Filter(types=data.types))
            systems: list[Ranker] = [ours, *halves(ours), Bm25Files(ours)]
            found = await retrieval.evaluate(data, systems, begin)
            for system, cases in found.items():
                named = {
                    id_: {f"{name} {measure}": s for measure, s in case.items()}
                    for id_, case in cases.items()
                }
                scores.setdefault(system, {}).update(named)
            counts |= {
                f"{name} files": bench.rag.store.open(corpus.COLLECTION).size()[0],
                name: len(data.queries),
            }
            told = about(bench.rag, path, counts, None, kind=data.kind)
    return Outcome("code", scores, told, seed, notes)


def _left_out(project: str, failed: Sequence[FileResult]) -> list[str]:
    files = [f"{result.name} ({result.reason})" for result in failed]
    number = "1 file" if len(files) == 1 else f"{len(files)} files"
    return [f"{project}: {number} could not be read and cannot be found: {', '.join(files)}"] if files else []


async def evaluate_answers(
    settings: Settings,
    data: Cases,
    path: Path,
    budgets: Sequence[int],
    *,
    generate: bool | None,
    control: bool,
    compared: bool,
    seed: int,
    begin: Begin,
) -> Outcome:
    """``generate`` of None: if a model server answers now. None is started for that."""
    async with open_bench(settings) as bench:
        model = await _model(bench, generate)
        ours, theirs = await _written(bench, data.corpus, compared, begin)
        read = await answers.evaluate_reading(data, _systems(ours, theirs), budgets, begin)
        counts = {"documents": len(data.corpus.names), "questions": len(data.cases)}
        name = model.name if model else None
        told = about(bench.rag, path, counts, name, kind=data.kind, budgets=list(budgets))
        if model is None:
            return Outcome("answers", read, told, seed, [NO_MODEL])
        made = await answers.evaluate_answers(data, ours, theirs, control=control, begin=begin)
        return Outcome("answers", answers.merged(read, made.scores), told, seed, said=made.said)


async def evaluate_needles(
    settings: Settings,
    collection: str,
    lengths: Sequence[int],
    depths: Sequence[int],
    *,
    count: int,
    seed: int,
    begin: Begin,
) -> Outcome:
    """In the user's own collection, which is only read."""
    async with open_rag(settings, "openbook eval needle") as engine:
        await asyncio.to_thread(engine.rag.store.open, collection)  # before a model is started for a minute
        await started(engine.server)
        model = await engine.rag.generator.model()
        found, said, notes = await needle.evaluate(
            engine.rag, collection, lengths, depths, count, seed, begin
        )
        settled = {"lengths": list(lengths), "depths": list(depths), "needles": count}
        told = about(engine.rag, Path(collection), {"needles": len(found)}, model.name, **settled)
        return Outcome("needle", {needle.OPENBOOK: found}, told, seed, notes, {needle.OPENBOOK: said})


async def _written(
    bench: Bench, documents: Corpus, compared: bool, begin: Begin
) -> tuple[Openbook, LlamaIndex | None]:
    await corpus.write(bench.rag, documents, begin)
    theirs = await baseline.build(bench.rag, documents, begin) if compared else None
    return Openbook(bench.rag, documents.names), theirs


def _systems(ours: Openbook, theirs: LlamaIndex | None) -> list[System]:
    return [ours, theirs] if theirs else [ours]


async def _model(bench: Bench, generate: bool | None) -> ModelInfo | None:
    if generate is False:
        return None
    if generate:
        await started(bench.server)
        return await bench.rag.generator.model()
    return await served(bench.rag)


async def started(server: ModelServer | None) -> None:
    """Returns when the managed server, where there is one, answers. Raises ModelUnavailable."""
    if server:
        await server.start()
        await server.wait_ready()
