"""One run of ingestion as it is asked for: by a command, over REST, or as a job."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ingest.contents import Contents
from ingest.failures import Failures
from ingest.pipeline import Event, Ingestion
from ingest.prune import pruned
from rag.compose import Engine
from rag.ports import Store


@dataclass(frozen=True, slots=True)
class Run:
    """``paths`` are absolute. ``prune`` removes documents whose files have gone from these folders. With ``changed``
    only those files below them are looked at, as far as they are there: a watcher knows that nothing else has
    changed. An ``explicit`` run takes each of these as if it had been named itself, in ``paths``. ``retry`` tries
    again what failed before, though it has not changed. A ``dry`` run does nothing and tells what would be done."""

    collection: str
    paths: tuple[str, ...]
    prune: bool = False
    retry: bool = False
    changed: tuple[str, ...] | None = None
    dry: bool = False
    explicit: bool = False


def begin(engine: Engine, run: Run) -> Iterator[Event]:
    """The run's events, which do the work; none is done before the first is asked for.

    Raises BadName, FingerprintMismatch and StoreUnavailable now, SourceMissing with the first event.
    """
    rag = engine.rag
    scratch = engine.owner.folder / "unpacked"
    ingestion = Ingestion(rag.store, rag.embedder, rag.tokens, run.collection, scratch=scratch)
    return _events(ingestion, rag.store, run, engine.owner.folder, scratch)


def _events(ingestion: Ingestion, store: Store, run: Run, folder: Path, scratch: Path) -> Iterator[Event]:
    _clear(scratch)  # what a run that was killed has left; one is at work at a time
    paths = [Path(path) for path in run.paths]
    changed = None if run.changed is None else [Path(path) for path in run.changed]
    with (
        closing(Failures(folder / "failures.db")) as failures,
        closing(Contents(folder / "contents.db")) as contents,
    ):
        if run.retry and not run.dry:
            failures.forget(run.collection)
        events = ingestion.run(paths, changed, failures, contents, explicit=run.explicit, dry=run.dry)
        try:
            yield from pruned(events, store, run.collection, paths, dry=run.dry) if run.prune else events
        finally:
            _clear(scratch)  # what workers that were ended have left


def _clear(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
