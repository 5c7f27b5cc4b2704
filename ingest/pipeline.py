"""Files to documents in the index: find, read, parse, tile, embed, store. Stages overlap; documents are stored whole.

Files are read in worker processes and embedded in a thread, in batches across files, while the caller's thread looks
for changes and writes to the store. What is in flight is bounded by number and by bytes. Nothing is written between
two events, so a run can be abandoned there.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from ingest import outcome
from ingest.batches import Batches
from ingest.containers.unpack import is_container, is_document
from ingest.contents import Contents
from ingest.documents import Documents
from ingest.failures import Failures
from ingest.gone import is_gone
from ingest.opened import Opened
from ingest.outcome import check_there as check_there
from ingest.report import FileResult, Found, Progress, Report
from ingest.sources import Found as Listed
from ingest.sources import Source, find
from ingest.steps import stepwise as stepwise
from ingest.work import Tally, Work, hash_of
from ingest.workers import ParserBug, Read, Reading, Unpacked, Workers
from rag.errors import RagError, SourceError
from rag.ports import Embedder, Store, TokenCounter, Write

log = logging.getLogger(__name__)

Event = Found | Progress | FileResult | Report
# What may be in flight: files, bytes of files unless it is one alone, archives that lie unpacked.
WINDOW_FILES, WINDOW_BYTES, WINDOW_ARCHIVES = 256, 64 * 2**20, 8
TICK_S = 1.0  # the longest time without an event, as far as the waiting goes


class Ingestion:
    """One run. Iterate over ``run``; between two events it can be abandoned without harm, best by closing it.

    ``reading`` is by default worker processes of the run's own, ``identity`` (what the collection goes by) its name.
    Archives are unpacked below ``scratch``, by default in the system's temporary folder. ``machines`` embed at once.
    Raises BadName, FingerprintMismatch and StoreUnavailable."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        tokens: TokenCounter,
        collection: str,
        reading: Reading | None = None,
        scratch: Path | None = None,
        identity: str | None = None,
        machines: int = 1,
    ) -> None:
        self._collection, self._identity = collection, identity or collection
        self._documents = Documents(store, collection, embedder, tokens, self._identity)
        self._embedder, self._machines, self._reading, self._scratch = embedder, machines, reading, scratch
        self._failures: Failures | None = None
        self._contents: Contents | None = None
        self._dry, self._tally = False, Tally()
        self._todo: deque[tuple[Source, Opened | None]] = deque()
        self._unpacks: dict[Future[Unpacked], Opened] = {}
        self._reads: dict[Future[Read], Work] = {}
        self._flying: set[Work] = set()  # from the first look until it is stored
        self._folders: set[Opened] = set()

    def run(
        self,
        paths: Sequence[Path],
        look: Callable[[], Listed] | None = None,
        failures: Failures | None = None,
        contents: Contents | None = None,
        *,
        is_gone: Callable[[str], bool] = is_gone,
        dry: bool = False,
    ) -> Iterator[Event]:
        """Found, then Progress and FileResult for each file, then the Report. ``look`` finds the files, by default
        all of ``paths``, which must be there; ``is_gone`` tells of a source whether its file is not there any more.
        With ``failures`` a file that failed before is not tried again until it or its parser has changed; with
        ``contents`` an archive that has not changed is not unpacked. A ``dry`` run tells what would be done, as far as
        that can be known without parsing.

        Raises SourceMissing before anything is done; StoreErrors and a missing embedding model end the run,
        and what was stored stays. Everything else that can go wrong is that file's result.
        """
        began = time.perf_counter()
        self._failures, self._contents, self._dry = failures, contents, dry
        self._documents.look_again(is_gone)
        check_there(paths)
        below = look() if look else find(paths)
        found = outcome.named(below)
        yield Found(len(found.sources) + len(found.skipped), sum(source.size for source in found.sources))
        for skipped in found.skipped:
            former = self._documents.current(outcome.uri_of(skipped))
            yield self._done(outcome.beside_former(outcome.of_skipped(skipped), former), 0)
        self._tally.order = {source.uri: number for number, source in enumerate(found.sources)}
        self._todo.extend((source, None) for source in found.sources)
        reader = self._reading or Workers(scratch=self._scratch)
        batches = Batches(self._embedder, self._tally, self._machines)
        try:
            yield from self._flow(reader, batches)
        finally:
            if reader is not self._reading:
                reader.close()
            batches.close()
            for opened in self._folders:
                opened.clear()
        self._tally.spent("total", time.perf_counter() - began)
        yield self._tally.report(self._collection)

    def _flow(self, reader: Reading, batches: Batches) -> Iterator[Event]:
        idle = False
        while True:
            while self._todo and self._has_room(*self._todo[0]):
                source, place = self._todo.popleft()
                yield from self._told(source, place, self._look(source, place, reader))
            if reader is not self._reading and not (self._todo or self._unpacks or self._reads):
                reader.close()  # embedding takes longest, and its peak is not to be above that of idle workers
            yield from self._embed(batches, partial=idle or not (self._reads or self._unpacks))
            waiting: list[Future[Any]] = [*self._unpacks, *self._reads]
            if batches.running:
                waiting.append(batches.running)
            if not waiting:
                return  # then no file waits for the embedder either, and there was room for all there was to do
            idle = not wait(waiting, TICK_S, FIRST_COMPLETED).done
            if idle:
                yield self._sign_of_life(batches)
            for unpack in [future for future in self._unpacks if future.done()]:
                yield from self._unpacked(self._unpacks.pop(unpack), unpack)
            for read in [future for future in self._reads if future.done()]:
                work = self._reads.pop(read)
                yield from self._told(
                    work.source, work.place, self._parsed(work, read, batches), own=work.own
                )
            if batches.running and batches.running.done():
                yield from self._embedded(batches)

    def _has_room(self, source: Source, place: Opened | None) -> bool:
        if is_container(source.media_type) and not self._has_room_to_unpack(place):
            return False
        size = source.size + sum(work.source.size for work in self._flying)
        return not self._flying or (len(self._flying) < WINDOW_FILES and size <= WINDOW_BYTES)

    def _has_room_to_unpack(self, place: Opened | None) -> bool:
        if place is None:
            return len(self._folders) < WINDOW_ARCHIVES
        # What one leaves of the budget that it shares with others is known when it is unpacked.
        return all(opened.outermost is not place.outermost for opened in self._unpacks.values())

    def _told(
        self, source: Source, place: Opened | None, steps: Iterator[Event], *, own: bool = False
    ) -> Iterator[Event]:
        """``steps``, and what goes wrong in them as the file's result."""
        try:
            yield from steps
        except SourceError as error:
            yield from self._finish(source, outcome.of_error(source, error), place, own=own)
        except (RagError, MemoryError):
            raise
        except Exception as error:  # a bug must cost one file, not the run
            log.exception("ingesting %s failed", source.path)
            failed = outcome.of_error(source, outcome.bug(source, repr(error)))
            yield from self._finish(source, failed, place, own=own)

    def _sign_of_life(self, batches: Batches) -> Progress:
        for opened in self._unpacks.values():
            return self._progress(opened.source, "parse")
        for work in self._reads.values():
            return self._progress(work.source, "parse")
        part = batches.parts[0]
        return self._progress(part.work.source, "embed", part.first, len(part.work.tiles))

    def _look(self, source: Source, place: Opened | None, reader: Reading) -> Iterator[Event]:
        if not is_container(source.media_type):
            yield from self._look_at(source, place, reader, own=False)
            return
        if place and (refusal := place.refusal(source.media_type)):
            refused = FileResult(source.name, source.uri, "skipped", reason=refusal)
            yield from self._finish(source, refused, place)
            return
        content_hash = hash_of(source)
        if (inside := self._known_inside(source, content_hash)) is not None:
            yield from self._unchanged_inside(source, place, inside, reader)
            return
        opened = Opened.begin(source, place, content_hash, self._scratch)
        self._folders.add(opened)
        yield self._progress(source, "parse")
        budget = opened.outermost.budget
        unpack = reader.unpack(source.path, source.name, source.media_type, opened.folder, budget)
        self._unpacks[unpack] = opened
        if is_document(source.media_type):
            opened.left += 1
            yield from self._told(source, opened, self._look_at(source, opened, reader, own=True), own=True)

    def _known_inside(self, source: Source, content_hash: str) -> list[FileResult] | None:
        """What a container that has not changed holds, if reading it again would give nothing new."""
        contents = self._contents
        inside = contents.known(self._identity, source.uri, content_hash) if contents else None
        return inside if inside is not None and self._documents.hold(inside) else None

    def _unchanged_inside(
        self, source: Source, place: Opened | None, inside: Sequence[FileResult], reader: Reading
    ) -> Iterator[Event]:
        for known in inside:
            result = known if known.status == "skipped" else replace(known, status="unchanged")
            if place:
                place.note(result)
            yield self._done(result, 0)
        if is_document(source.media_type):
            yield from self._look_at(source, place, reader, own=False)
        else:
            unchanged = FileResult(source.name, source.uri, "unchanged")
            yield from self._finish(source, unchanged, place)

    def _look_at(
        self, source: Source, place: Opened | None, reader: Reading, *, own: bool
    ) -> Iterator[Event]:
        content_hash = hash_of(source)
        revision = self._documents.revision(source, content_hash)
        current = self._documents.current(source.uri)
        if current and current.revision == revision:
            unchanged = outcome.of_document(source, "unchanged", current)
            yield from self._finish(source, unchanged, place, own=own)
        elif self._failures and (known := self._failures.known(self._identity, source.uri, revision)):
            yield from self._finish(source, known, place, own=own)
        elif self._dry:
            would = FileResult(source.name, source.uri, "replaced" if current else "added")
            yield from self._finish(source, would, place, own=own)
        else:
            yield self._progress(source, "parse")
            work = Work(source, place, own, revision, content_hash, current)
            self._flying.add(work)
            read = reader.read(source.path, source.name, source.media_type, self._documents.max_characters)
            self._reads[read] = work

    def _unpacked(self, opened: Opened, future: Future[Unpacked]) -> Iterator[Event]:
        opened.unpacking = False
        self._tally.containers += 1
        if error := future.exception():
            if isinstance(error, ParserBug):
                log.error("unpacking %s failed: %s", opened.source.path, error.trace)
            opened.error = outcome.of_error(opened.source, error)
        else:
            unpacked = future.result()
            self._tally.spent("parse", unpacked.seconds)
            for refused in opened.refused(unpacked):
                opened.note(refused)
                yield self._done(outcome.beside_former(refused, self._documents.current(refused.source)), 0)
            # Before other files, so that few archives lie unpacked at a time.
            self._todo.extendleft((source, opened) for source in reversed(opened.inside(unpacked)))
        yield from self._close(opened)

    def _parsed(self, work: Work, future: Future[Read], batches: Batches) -> Iterator[Event]:
        self._flying.discard(work)
        if error := future.exception():
            if isinstance(error, ParserBug):
                log.error("parsing %s failed: %s", work.source.path, error.trace)
            failed = outcome.of_error(work.source, error)
            if self._failures and isinstance(error, SourceError) and not error.retryable:
                self._failures.remember(self._identity, work.revision, failed)
            yield from self._finish(work.source, failed, work.place, own=work.own)
            return
        read = future.result()
        self._tally.spent("parse", read.seconds)
        with self._tally.timed("parse"):
            document = self._documents.make(work, read)
        self._tally.parsed += 1
        known = None if work.current else self._documents.moved(document, work.tiles)
        if known is not None:
            yield from self._put(work, Write(document, work.tiles, known, work.outline))
            return
        self._flying.add(work)
        batches.add(work)

    def _embed(self, batches: Batches, *, partial: bool) -> Iterator[Event]:
        for part in batches.begin(partial=partial):
            yield self._progress(part.work.source, "embed", part.first, len(part.work.tiles))

    def _embedded(self, batches: Batches) -> Iterator[Event]:
        try:
            works = batches.finish()
        except (RagError, MemoryError):
            raise
        except Exception as error:
            log.exception("embedding failed")
            for part in batches.parts:
                batches.drop(part.work)
                self._flying.discard(part.work)
                failed = outcome.of_error(part.work.source, outcome.bug(part.work.source, repr(error)))
                yield from self._finish(part.work.source, failed, part.work.place, own=part.work.own)
            return
        yield from self._embed(batches, partial=False)  # the next goes on while these are stored
        writes = [(work, work.write()) for work in works if work.whole]
        with self._tally.timed("store"):
            self._documents.try_together([write for _, write in writes])
        for work, write in writes:
            yield from self._told(work.source, work.place, self._put(work, write), own=work.own)

    def _put(self, work: Work, write: Write) -> Iterator[Event]:
        self._flying.discard(work)
        document = write.document
        yield self._progress(work.source, "store", len(work.tiles), len(work.tiles))
        with self._tally.timed("store"):
            self._documents.put([write])
        result = outcome.of_document(work.source, "replaced" if work.current else "added", document)
        yield from self._finish(work.source, result, work.place, own=work.own)

    def _finish(
        self, source: Source, result: FileResult, place: Opened | None, *, own: bool = False
    ) -> Iterator[Event]:
        if result.status in ("failed", "skipped"):
            result = outcome.beside_former(result, self._documents.current(source.uri))
        if place is None:
            yield self._done(result, source.size)
            return
        place.left -= 1
        if own:
            place.own = result
        else:
            place.note(result)
            yield self._done(result, 0)
        yield from self._close(place)

    def _close(self, opened: Opened) -> Iterator[Event]:
        if opened.done and opened in self._folders:
            self._folders.discard(opened)
            opened.clear()
            if self._contents and not self._dry and opened.worth_remembering:
                self._contents.remember(
                    self._identity, opened.source.uri, opened.content_hash, opened.results
                )
            yield from self._finish(opened.source, opened.result(), opened.place)

    def _done(self, result: FileResult, size: int) -> FileResult:
        self._tally.results.append(result)
        self._tally.bytes_done += size
        return result

    def _progress(self, source: Source, stage: str, done: int = 0, of: int = 0) -> Progress:
        tally = self._tally
        return Progress(source.name, stage, len(tally.results), tally.bytes_done, done, of)  # type: ignore[arg-type]
