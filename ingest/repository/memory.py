"""What a collection remembers of the repositories that it was made from, from one run to the next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ingest.documents import id_of
from ingest.report import Report
from ingest.repository.plan import Plan
from rag.collection_settings import REPOSITORIES, CollectionSettings
from rag.errors import CollectionNotFound
from rag.ports import Store
from rag.repository import Repository, dump, joined, load


class Memory:
    def __init__(self, settings: CollectionSettings, collection: str) -> None:
        self._settings, self._collection = settings, collection

    def repositories(self) -> tuple[Repository, ...]:
        return load(self._settings.get(self._collection, REPOSITORIES))

    def begin(self, plan: Plan) -> None:
        """Before anything is written: what will not be certain if the run is broken off. Of a folder of which nothing
        is remembered nothing is certain anyway."""
        known = {each.path for each in self.repositories()}
        self._keep([now for part in plan.parts if (now := part.begun()).path in known])

    def end(self, plan: Plan, report: Report, store: Store, known_failures: Collection[str]) -> Report:
        """The report, with the commits that the collection is at now. ``known_failures`` are sources that need not be
        tried again until they change."""
        failed = {each.source for each in report.failed}
        unsure = (failed - set(known_failures)) | self._older(report, store)
        ended = [part.ended(unsure) for part in plan.parts]
        self._keep(ended, forget=[str(path.resolve()) for path in plan.plain])
        return replace(report, commits={each.path: each.commit for each in ended})

    def _keep(self, new: Sequence[Repository], forget: Sequence[str] = ()) -> None:
        old = self.repositories()
        kept = joined(new, [each for each in old if each.path not in forget])
        if kept != old:
            self._settings.set(self._collection, REPOSITORIES, dump(kept) or None)

    def _older(self, report: Report, store: Store) -> set[str]:
        """Sources that could not be read, or are left out now, of which an older version is held."""
        sources = [each.source for each in report.files if each.status in ("failed", "skipped")]
        identity = self._settings.identity(self._collection)
        ids = [id_of(identity, source) for source in sources]
        try:
            return {each.source for each in store.open(self._collection).documents(ids)} if ids else set()
        except CollectionNotFound:
            return set()
