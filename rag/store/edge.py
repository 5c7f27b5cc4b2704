"""The embedded store: Qdrant's engine in this process, one folder per collection.

The caller holds the data folder's lock (rag/owner.py): a second load of an open shard breaks the first one.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import qdrant_edge as qe

from rag import durable
from rag.errors import CollectionExists, CollectionNotFound, StoreUnavailable
from rag.ports import Index
from rag.store.collection import Collection
from rag.store.points import (
    DENSE,
    INTEGER_FIELDS,
    KEYWORD_FIELDS,
    META_ID,
    SPARSE,
    Payload,
    Point,
    Sparse,
    Where,
    check_fingerprint,
    check_name,
    fingerprint_payload,
)

_PAGE = 1000  # points per scroll request
_VALUES = 1_000_000  # different values of a field that are told at most
_NEXT = ".next-"  # before the name of a collection: a folder that is about to take its place


@dataclass(frozen=True, slots=True)
class _Opened:
    points: EdgePoints
    meta: Payload
    collection: Collection

    def close(self) -> None:
        self.points.flush()
        self.points.close()


@contextmanager
def _mapped(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the bindings raise plain Exception
        raise StoreUnavailable(
            f"{what}: {error}", "Is the disk full or the folder damaged? Look with: openbook doctor"
        ) from error


class EdgeStore:
    """Collections under ``folder``; ``embedder`` and ``dimension`` are the fingerprint of their vectors."""

    def __init__(self, folder: Path, *, embedder: str, dimension: int) -> None:
        self._folder = folder
        self._dimension = dimension
        self._fingerprint = fingerprint_payload(embedder, dimension)
        self._open: dict[str, _Opened] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for waiting in folder.glob(f"{_NEXT}*"):
            self._take_place(waiting)
        for leftover in folder.glob(".*"):  # a collection whose making or dropping was interrupted
            shutil.rmtree(leftover, ignore_errors=True)

    def names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir() if path.is_dir() and path.name[0] != ".")

    def open(self, collection: str, create: bool = False, *, any_embedder: bool = False) -> Index:
        path = self._folder / check_name(collection)
        with self._lock:
            if collection not in self._open:
                if not path.is_dir():
                    if not create:
                        raise CollectionNotFound.of(collection, self.names())
                    self._create(path)
                self._open[collection] = self._load(collection, path)
            opened = self._open[collection]
            if not any_embedder:
                check_fingerprint(collection, opened.meta, self._fingerprint)
            return opened.collection

    def _load(self, collection: str, path: Path) -> _Opened:
        with _mapped(f"Collection {collection!r} in {path} cannot be opened"):
            shard = qe.EdgeShard.load(str(path))
            _index_fields(shard)  # a collection from before may lack one; those that are there cost nothing
            points = EdgePoints(shard)
            (meta,) = points.get([META_ID])
        return _Opened(points, meta, Collection(collection, points, exclusive=True))

    def swap(self, collection: str, by: str) -> None:
        path, new = self._folder / check_name(collection), self._folder / check_name(by)
        with self._lock:
            for name in (collection, by):
                if name in self._open:
                    self._open.pop(name).close()
                if not (self._folder / name).is_dir():
                    raise CollectionNotFound.of(name, self.names())
            # From this rename on the swap will be finished, also after a crash: by the next store that is opened.
            self._take_place(new.rename(self._folder / f"{_NEXT}{path.name}"))

    def _take_place(self, waiting: Path) -> None:
        path = self._folder / waiting.name.removeprefix(_NEXT)
        gone = path.rename(self._folder / f".dropped-{uuid.uuid4().hex}") if path.is_dir() else None
        waiting.rename(path)
        if gone:
            shutil.rmtree(gone)

    def rename(self, collection: str, to: str) -> None:
        path, new = self._folder / check_name(collection), self._folder / check_name(to)
        with self._lock:
            if new.is_dir():
                raise CollectionExists.of(to)
            if not path.is_dir():
                raise CollectionNotFound.of(collection, self.names())
            if collection in self._open:
                self._open.pop(collection).close()
            with _mapped(f"Collection {collection!r} in {path} cannot be renamed"):
                path.rename(new)
                durable.sync(self._folder)

    def drop(self, collection: str) -> None:
        path = self._folder / check_name(collection)
        with self._lock:
            if collection in self._open:
                self._open.pop(collection).points.close()
            if not path.is_dir():
                raise CollectionNotFound.of(collection, self.names())
            gone = path.rename(self._folder / f".dropped-{uuid.uuid4().hex}")
            shutil.rmtree(gone)

    def close(self) -> None:
        with self._lock:
            for opened in self._open.values():
                opened.close()
            self._open.clear()

    def _create(self, path: Path) -> None:
        """Made aside and renamed, so that a collection is there with its fingerprint or not at all."""
        aside = self._folder / f".new-{uuid.uuid4().hex}"
        config = qe.EdgeConfig(
            vectors={DENSE: qe.EdgeVectorParams(self._dimension, qe.Distance.Cosine)},
            sparse_vectors={SPARSE: qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)},
        )
        with _mapped(f"Collection folder {path} cannot be made"):
            shard = qe.EdgeShard.create(str(aside), config)
            _index_fields(shard)
            points = EdgePoints(shard)
            points.upsert([Point(META_ID, self._fingerprint)])
            points.flush()
            points.close()
            aside.rename(path)


class EdgePoints:
    """store.points.Points over one shard. The shard serialises its own updates; it cannot be closed while another
    thread is at it, so closing waits for them, and who comes later is told."""

    def __init__(self, shard: qe.EdgeShard) -> None:
        self._shard = shard
        self._idle = threading.Condition()
        self._users = 0
        self._closed = False

    def close(self) -> None:
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: not self._users)
        self._shard.close()

    @contextmanager
    def _using(self, failed: str) -> Iterator[qe.EdgeShard]:
        with self._idle:
            if self._closed:
                raise StoreUnavailable("The collection was replaced or removed meanwhile.", "Try again.")
            self._users += 1
        try:
            with _mapped(failed):
                yield self._shard
        finally:
            with self._idle:
                self._users -= 1
                self._idle.notify_all()

    def upsert(self, points: Sequence[Point]) -> None:
        with self._using("Writing to the index failed") as shard:
            shard.update(qe.UpdateOperation.upsert_points([_point(point) for point in points]))

    def assign(self, where: Where, payload: Payload) -> None:
        with self._using("Writing to the index failed") as shard:
            shard.update(qe.UpdateOperation.set_payload_by_filter(_filter(where), payload))

    def delete(self, where: Where) -> None:
        with self._using("Deleting from the index failed") as shard:
            shard.update(qe.UpdateOperation.delete_points_by_filter(_filter(where)))

    def get(self, ids: Sequence[str]) -> list[Payload]:
        with self._using("Reading the index failed") as shard:
            found = shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return [cast(Payload, record.payload) for record in found]

    def dense(self, ids: Sequence[str]) -> dict[str, list[float]]:
        with self._using("Reading the index failed") as shard:
            found = shard.retrieve(list(ids), with_payload=False, with_vector=True)
        return {str(record.id): cast(Any, record.vector)[DENSE] for record in found}

    def scroll(self, where: Where) -> Iterator[Payload]:
        offset: Any = None
        while True:
            request = qe.ScrollRequest(offset=offset, limit=_PAGE, filter=_filter(where), with_payload=True)
            with self._using("Reading the index failed") as shard:
                records, offset = shard.scroll(request)
            yield from (cast(Payload, record.payload) for record in records)
            if offset is None:
                return

    def count(self, where: Where) -> int:
        with self._using("Reading the index failed") as shard:
            return shard.count(qe.CountRequest(filter=_filter(where), exact=True))

    def nearest(
        self, query: list[float] | Sparse, where: Where, limit: int
    ) -> list[tuple[str, Payload, float]]:
        if isinstance(query, Sparse):
            nearest = qe.Query.Nearest(qe.SparseVector(query.indices, query.values), SPARSE)
        else:
            nearest = qe.Query.Nearest(query, DENSE)
        request = qe.QueryRequest(limit=limit, query=nearest, filter=_filter(where), with_payload=True)
        with self._using("Searching the index failed") as shard:
            found = shard.query(request)
        return [(str(point.id), cast(Payload, point.payload), point.score) for point in found]

    def values(self, field: str, where: Where) -> list[str]:
        request = qe.FacetRequest(field, limit=_VALUES, exact=True, filter=_filter(where))
        with self._using("Reading the index failed") as shard:
            return [str(hit.value) for hit in shard.facet(request).hits]

    def flush(self) -> None:
        with self._using("Writing the index to disk failed") as shard:
            shard.flush()


def _index_fields(shard: qe.EdgeShard) -> None:
    for name in KEYWORD_FIELDS:
        shard.update(qe.UpdateOperation.create_field_index(name, qe.PayloadSchemaType.Keyword))
    for name in INTEGER_FIELDS:
        shard.update(qe.UpdateOperation.create_field_index(name, qe.PayloadSchemaType.Integer))


def _point(point: Point) -> qe.Point:
    vectors: dict[str, Any] = {}
    if point.dense is not None:
        vectors[DENSE] = point.dense
    if point.sparse is not None:
        vectors[SPARSE] = qe.SparseVector(point.sparse.indices, point.sparse.values)
    return qe.Point(point.id, vectors, point.payload)


def _filter(where: Where) -> qe.Filter:
    must = _equal(where.must)
    if where.ordinals:
        first, last = where.ordinals
        must.append(qe.FieldCondition("ordinal", range=qe.RangeFloat(gte=first, lte=last)))
    must += [qe.FieldCondition(key, match=qe.MatchAny(list(values))) for key, values in where.one_of.items()]
    if where.ids is not None:
        must.append(qe.HasIdCondition(set(where.ids)))
    return qe.Filter(must=must, must_not=_equal(where.must_not))


def _equal(fields: Mapping[str, str]) -> list[Any]:
    return [qe.FieldCondition(key, match=qe.MatchValue(value)) for key, value in fields.items()]
