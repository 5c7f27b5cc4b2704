"""One run of ingestion as it is asked for: by a command, over REST, or as a job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.pipeline import Event, Ingestion
from ingest.prune import pruned
from rag.answer import Rag


@dataclass(frozen=True, slots=True)
class Run:
    """``paths`` are absolute. ``prune`` removes documents whose files have gone from these folders."""

    collection: str
    paths: tuple[str, ...]
    prune: bool = False


def begin(rag: Rag, run: Run) -> Iterator[Event]:
    """The run's events, which do the work; none is done before the first is asked for.

    Raises BadName, FingerprintMismatch and StoreUnavailable now, SourceMissing with the first event.
    """
    paths = [Path(path) for path in run.paths]
    events = Ingestion(rag.store, rag.embedder, rag.tokens, run.collection).run(paths)
    return pruned(events, rag.store, run.collection, paths) if run.prune else events
