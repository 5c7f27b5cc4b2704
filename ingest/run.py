"""One run of ingestion as it is asked for: by a command, over REST, or as a job."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.changes import find_changed
from ingest.contents import Contents
from ingest.documents import reading_version
from ingest.failures import Failures
from ingest.gone import is_gone
from ingest.passages import max_characters_for
from ingest.pipeline import Event, Ingestion
from ingest.prune import pruned
from ingest.ray_cluster import Cluster
from ingest.report import Report
from ingest.repository.memory import Memory
from ingest.repository.plan import Plan
from ingest.roots import Roots
from ingest.sources import Found, find
from rag.compose import Engine
from rag.errors import BadRequest, CollectionNotFound
from rag.models.embed_cache import CachedEmbedder
from rag.ports import Store


@dataclass(frozen=True, slots=True)
class Run:
    """``paths`` are absolute. ``prune`` removes documents whose files have gone from these folders; from repositories
    they are always removed. With ``changed`` only those files below them are looked at, as far as they are there: a
    watcher knows that nothing else has changed. An ``explicit`` run takes each of these as if it had been named itself,
    in ``paths``. ``retry`` tries again what failed before, though it has not changed. A ``dry`` run does nothing and
    tells what would be done.

    ``ref`` reads repositories at a branch, tag or commit instead of their work trees. ``all_files`` leaves nothing out
    for being generated, vendored and the like. ``refresh`` looks at what has changed in repositories since they were
    read, in all that the collection was made from if no path is given. Only what is ``within`` these folders, links
    followed, is read, where they are given."""

    collection: str
    paths: tuple[str, ...]
    prune: bool = False
    retry: bool = False
    changed: tuple[str, ...] | None = None
    dry: bool = False
    explicit: bool = False
    ref: str | None = None
    all_files: bool = False
    refresh: bool = False
    within: tuple[str, ...] | None = None


def begin(engine: Engine, run: Run, cluster: Cluster | None = None) -> Iterator[Event]:
    """The run's events, which do the work; none is done before the first is asked for. Files are read and passages
    embedded on the ``cluster``, where there is one.

    Raises BadName, FingerprintMismatch and StoreUnavailable, BadRequest, RefNotFound and RepositoryUnreadable now,
    SourceMissing with the first event.
    """
    rag = engine.rag
    scratch = engine.owner.folder / "unpacked"
    identity = rag.collection_settings.identity(run.collection)
    ingestion = _ingestion(engine, run, scratch, identity, cluster)
    run = with_paths(engine, run)
    _planned(engine, run, scratch)  # raises now what it would raise then
    return _events(engine, ingestion, run, scratch)


def _ingestion(engine: Engine, run: Run, scratch: Path, identity: str, cluster: Cluster | None) -> Ingestion:
    rag, embedder = engine.rag, engine.rag.embedder
    if cluster is None:
        return Ingestion(rag.store, embedder, rag.tokens, run.collection, None, scratch, identity)
    there = cluster.embedder(engine.embedder)
    return Ingestion(
        rag.store,
        embedder.over(there) if isinstance(embedder, CachedEmbedder) else there,
        rag.tokens,
        run.collection,
        cluster.reading(scratch),
        scratch,
        identity,
        cluster.machines,
    )


def with_paths(engine: Engine, run: Run) -> Run:
    """A refresh without paths, of all that the collection was made from. Raises BadRequest where that is nothing."""
    if run.paths or not run.refresh:
        return run
    known = Memory(engine.rag.collection_settings, run.collection).repositories()
    if not known:
        raise BadRequest(
            f"Collection {run.collection!r} was not made from a repository.",
            f"Read one with: openbook ingest REPO --collection {run.collection}",
        )
    return replace(run, paths=tuple(each.path for each in known))


def _planned(engine: Engine, run: Run, scratch: Path) -> Plan:
    """A run with ``explicit`` files goes by no rules, so not by git's either."""
    paths = [Path(path) for path in run.paths]
    remembered = Memory(engine.rag.collection_settings, run.collection).repositories()
    return Plan(
        paths,
        remembered,
        ref=run.ref,
        all_files=run.all_files,
        refresh=run.refresh or run.changed is not None,
        reading=reading_version(max_characters_for(engine.rag.embedder.max_tokens)),
        scratch=scratch / "blobs",
        is_plain=run.explicit,
    )


def _events(engine: Engine, ingestion: Ingestion, run: Run, scratch: Path) -> Iterator[Event]:
    _clear(scratch)  # what a run that was killed has left; one is at work at a time
    folder, store = engine.owner.folder, engine.rag.store
    plan = _planned(engine, run, scratch)  # as things are now: it may have waited
    memory = Memory(engine.rag.collection_settings, run.collection)
    identity = engine.rag.collection_settings.identity(run.collection)
    # What is unpacked or read out of a repository lies in scratch, and is no link.
    within = Roots.of(None if run.within is None else (*run.within, str(scratch)))

    def look() -> Found:
        found = plan.look(lambda plain: _plain(run, plain), lambda: _held(store, run.collection))
        found = within.admitted(found) if within else found
        if not run.dry:
            memory.begin(plan)
        return found

    with (
        closing(Failures(folder / "failures.db")) as failures,
        closing(Contents(folder / "contents.db")) as contents,
    ):
        if run.retry and not run.dry:
            failures.forget(identity)
        events = ingestion.run(
            plan.plain,
            look,
            failures,
            contents,
            is_gone=lambda source: is_gone(source, standing=plan.standing),
            dry=run.dry,
        )
        if run.prune or plan.parts:
            scope = plan.scope(identity, plan.plain if run.prune else ())
            events = pruned(events, store, run.collection, scope, dry=run.dry)
        try:
            for event in events:
                if isinstance(event, Report) and not run.dry:
                    yield memory.end(plan, event, store, failures.sources(identity))
                else:
                    yield event
        finally:
            _clear(scratch)  # what workers that were ended have left


def _plain(run: Run, paths: Sequence[Path]) -> Found:
    if run.changed is None:
        return find(paths, all_files=run.all_files)
    changed = [Path(path) for path in run.changed]
    return find_changed(changed, paths, explicit=run.explicit, all_files=run.all_files)


def _held(store: Store, collection: str) -> set[str]:
    try:
        return {document.source for document in store.open(collection).documents()}
    except CollectionNotFound:
        return set()


def _clear(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
