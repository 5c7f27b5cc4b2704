"""The store on a Qdrant server, for a Spark or several; the same collections and contract as store/edge.py."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

from rag.errors import CollectionExists, CollectionNotFound, StoreUnavailable
from rag.ports import Index
from rag.store.collection import Collection, Writes
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

PREFIX = "openbook_"  # a server may hold other people's collections
Consistency = int | Literal["majority", "quorum", "all"]
_PAGE = 1000
_VALUES = 1_000_000  # different values of a field that are told at most
# Where vectors are quantized: twice as many as are wanted are found by them, and scored by the exact ones.
_RESCORED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=2.0))


@dataclass(frozen=True, slots=True)
class Copies:
    """How a Qdrant cluster divides and copies the collections that are made; None leaves it to the server. A write is
    done when ``write`` copies have it. ``read`` copies are asked: so many, or a majority, quorum or all."""

    shards: int | None = None
    replicas: int | None = None
    write: int | None = None
    read: Consistency | None = None


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except ResponseHandlingException as error:
        raise StoreUnavailable(
            f"The Qdrant server does not answer: {error}", "Is it running? OPENBOOK_QDRANT_URL says where."
        ) from error
    except (ApiException, httpx.HTTPError) as error:
        raise StoreUnavailable(
            f"The Qdrant server refused a request: {error}", "Look into its log."
        ) from error


class ServerStore:
    """Collections are aliases, so that one can take another's place in one step. New ones are ``quantized``: a byte for
    each number in memory, which is how candidates are found; the exact vectors, which score them, on the disk."""

    def __init__(
        self,
        client: QdrantClient,
        *,
        embedder: str,
        dimension: int,
        copies: Copies | None = None,
        quantized: bool = False,
    ) -> None:
        self._client, self._copies, self._quantized = client, copies or Copies(), quantized
        self._dimension = dimension
        self._fingerprint = fingerprint_payload(embedder, dimension)
        self._lock = threading.Lock()
        self._indexed: set[str] = set()
        self._writes: dict[str, Writes] = defaultdict(
            Writes
        )  # by the server's name, which is never given twice

    def names(self) -> list[str]:
        return sorted(self._aliases())

    def open(self, collection: str, create: bool = False, *, any_embedder: bool = False) -> Index:
        alias = PREFIX + check_name(collection)
        with self._lock, _mapped():
            if collection not in (there := self._aliases()):
                if not create:
                    raise CollectionNotFound.of(collection, sorted(there))
                self._create(alias)
                there = self._aliases()
            elif collection not in self._indexed:  # one from before may lack a field's index
                ServerPoints(self._client, there[collection]).index_fields()
            self._indexed.add(collection)
            points = ServerPoints(self._client, alias, self._copies.read)
            if not any_embedder:
                check_fingerprint(collection, points.get([META_ID])[0], self._fingerprint)
            writes = self._writes[there[collection]]
            return Collection(collection, points, exclusive=False, writes=writes)

    def swap(self, collection: str, by: str) -> None:
        with self._lock, _mapped():
            there = self._aliases()
            for name in (check_name(collection), check_name(by)):
                if name not in there:
                    raise CollectionNotFound.of(name, sorted(there))
            changes: list[models.AliasOperations] = [
                _unnamed(collection),
                _unnamed(by),
                _named(collection, there[by]),
            ]
            self._client.update_collection_aliases(changes)
            self._client.delete_collection(there[collection])

    def rename(self, collection: str, to: str) -> None:
        with self._lock, _mapped():
            there = self._aliases()
            if check_name(to) in there:
                raise CollectionExists.of(to)
            if check_name(collection) not in there:
                raise CollectionNotFound.of(collection, sorted(there))
            changes: list[models.AliasOperations] = [_unnamed(collection), _named(to, there[collection])]
            self._client.update_collection_aliases(changes)

    def drop(self, collection: str) -> None:
        with self._lock, _mapped():
            if check_name(collection) not in (there := self._aliases()):
                raise CollectionNotFound.of(collection, sorted(there))
            self._client.update_collection_aliases([_unnamed(collection)])
            self._client.delete_collection(there[collection])

    def close(self) -> None:
        self._client.close()

    def _aliases(self) -> dict[str, str]:
        """The server's collection behind each of ours."""
        with _mapped():
            found = self._client.get_aliases().aliases
        ours = [each for each in found if each.alias_name.startswith(PREFIX)]
        return {each.alias_name.removeprefix(PREFIX): each.collection_name for each in ours}

    def _create(self, alias: str) -> None:
        """Named last, so that a collection is there with its fingerprint or not at all."""
        name = f"{alias}-{uuid.uuid4().hex}"
        self._client.create_collection(
            name,
            vectors_config={DENSE: _dense(self._dimension, quantized=self._quantized)},
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            shard_number=self._copies.shards,
            replication_factor=self._copies.replicas,
            write_consistency_factor=self._copies.write,
        )
        points = ServerPoints(self._client, name)
        points.index_fields()
        points.upsert([Point(META_ID, self._fingerprint)])
        self._client.update_collection_aliases([_named(alias.removeprefix(PREFIX), name)])


class ServerPoints:
    """store.points.Points over one server collection. Every update waits until it is applied and logged."""

    def __init__(self, client: QdrantClient, name: str, read: Consistency | None = None) -> None:
        self._client, self._name = client, name
        self._read = (
            None if read is None else read if isinstance(read, int) else models.ReadConsistencyType(read)
        )

    def index_fields(self) -> None:
        """Those that are there already cost nothing."""
        for field in KEYWORD_FIELDS:
            self._client.create_payload_index(self._name, field, models.PayloadSchemaType.KEYWORD, wait=True)
        for field in INTEGER_FIELDS:
            self._client.create_payload_index(self._name, field, models.PayloadSchemaType.INTEGER, wait=True)

    def upsert(self, points: Sequence[Point]) -> None:
        with _mapped():
            self._client.upsert(self._name, [_point(point) for point in points], wait=True)

    def assign(self, where: Where, payload: Payload) -> None:
        with _mapped():
            self._client.set_payload(self._name, payload, points=_filter(where), wait=True)

    def delete(self, where: Where) -> None:
        with _mapped():
            selector = models.FilterSelector(filter=_filter(where))
            self._client.delete(self._name, selector, wait=True)

    def get(self, ids: Sequence[str]) -> list[Payload]:
        if not ids:
            return []
        with _mapped():
            found = self._client.retrieve(self._name, list(ids), consistency=self._read)
        return [cast(Payload, record.payload) for record in found]

    def dense(self, ids: Sequence[str]) -> dict[str, list[float]]:
        with _mapped():
            found = self._client.retrieve(
                self._name, list(ids), with_payload=False, with_vectors=[DENSE], consistency=self._read
            )
        return {str(record.id): cast(Any, record.vector)[DENSE] for record in found}

    def scroll(self, where: Where) -> Iterator[Payload]:
        offset: Any = None
        while True:
            with _mapped():
                records, offset = self._client.scroll(
                    self._name,
                    scroll_filter=_filter(where),
                    limit=_PAGE,
                    offset=offset,
                    consistency=self._read,
                )
            yield from (cast(Payload, record.payload) for record in records)
            if offset is None:
                return

    def count(self, where: Where) -> int:
        with _mapped():
            return self._client.count(self._name, count_filter=_filter(where), exact=True).count

    def nearest(
        self, query: list[float] | Sparse, where: Where, limit: int
    ) -> list[tuple[str, Payload, float]]:
        vector: Any = query
        if isinstance(query, Sparse):
            vector = models.SparseVector(indices=query.indices, values=query.values)
        using = SPARSE if isinstance(query, Sparse) else DENSE
        with _mapped():
            found = self._client.query_points(
                self._name,
                query=vector,
                using=using,
                query_filter=_filter(where),
                limit=limit,
                search_params=_RESCORED if using == DENSE else None,
                consistency=self._read,
            )
        return [(str(point.id), cast(Payload, point.payload), point.score) for point in found.points]

    def values(self, field: str, where: Where) -> list[str]:
        with _mapped():
            found = self._client.facet(
                self._name,
                field,
                facet_filter=_filter(where),
                limit=_VALUES,
                exact=True,
                consistency=self._read,
            )
        return [str(hit.value) for hit in found.hits]

    def flush(self) -> None:
        """The server logs an update before it acknowledges it."""


def _dense(dimension: int, *, quantized: bool) -> models.VectorParams:
    params = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    if quantized:
        params.memory = models.Memory.COLD
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, memory=models.Memory.PINNED)
        params.quantization_config = models.ScalarQuantization(scalar=scalar)
    return params


def _named(collection: str, name: str) -> models.CreateAliasOperation:
    alias = models.CreateAlias(alias_name=PREFIX + collection, collection_name=name)
    return models.CreateAliasOperation(create_alias=alias)


def _unnamed(collection: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=PREFIX + collection))


def _point(point: Point) -> models.PointStruct:
    vectors: dict[str, Any] = {}
    if point.dense is not None:
        vectors[DENSE] = point.dense
    if point.sparse is not None:
        vectors[SPARSE] = models.SparseVector(indices=point.sparse.indices, values=point.sparse.values)
    return models.PointStruct(id=point.id, vector=vectors, payload=point.payload)


def _filter(where: Where) -> models.Filter:
    must: list[Any] = _equal(where.must)
    if where.ordinals:
        first, last = where.ordinals
        must.append(models.FieldCondition(key="ordinal", range=models.Range(gte=first, lte=last)))
    must += [
        models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))
        for key, values in where.one_of.items()
    ]
    if where.ids is not None:
        must.append(models.HasIdCondition(has_id=list(where.ids)))
    return models.Filter(must=must, must_not=_equal(where.must_not))


def _equal(fields: Mapping[str, str]) -> list[Any]:
    return [
        models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in fields.items()
    ]
