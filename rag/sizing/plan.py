"""What fits into one machine's memory, and how fast it would read: arithmetic over shapes, priors and declared
assumptions. Pure.

Unified memory is shared by everything, so everything is in the list: a plan that leaves out the operating system or the
index is one that swaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rag.prefill import Cost
from rag.sizing.presets import Helper
from rag.sizing.shape import ModelShape

GIB = 2**30

RUNTIME = 4 * GIB  # CUDA context, compiled kernels and graphs, workspaces of a model server
SERVICE = 2 * GIB  # openbook itself: 0.6 GiB while it ingests, and room for large documents
ROOM = 12 * GIB  # the operating system, its page cache for vectors on the disk, and what is never used up
LINKS = 16 * 2 * 4  # bytes of Qdrant's HNSW graph for a vector: m = 16, both ways, 4 bytes each
POSTINGS = 60 * 8  # bytes of the BM25 index for a passage: so many different words
ON_DISK = 1500  # bytes of a passage's text, place and offsets
ACTIVATIONS = 24  # numbers of two bytes for each token of a piece and each of the model's hidden size
SHARED = 0.99  # of a prompt that has been read before
DECODE_SHARE = (
    0.7  # of the memory's speed reached while writing; llama.cpp's published figures give 0.72 to 1.1
)
EMBED_SHARE = 0.3  # of the arithmetic that is reached while embedding


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory`` in bytes, ``memory_rate`` and ``disk_rate`` in bytes a second, ``flops`` a second, of 16 bits."""

    name: str
    memory: int
    memory_rate: float
    disk_rate: float
    flops: float


# 128 GB of memory at 273 GB/s, 125 TFLOPS of dense BF16; NVMe of 5.6 to 10.7 GB/s.
SPARK = Machine("one DGX Spark", 128 * 10**9, 273e9, 5.6e9, 125e12)


@dataclass(frozen=True, slots=True)
class Wanted:
    """``users`` read contexts of ``context`` tokens at a time, over ``passages`` passages."""

    context: int
    users: int
    passages: int
    kv_number_bytes: int = 2
    batched_tokens: int = 8192
    kv_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """A smaller model with a server of its own beside the answering one, in a window of ``length`` tokens, with a KV
    cache of ``kv_bytes``, each number of which takes ``kv_number_bytes``."""

    name: str
    shape: ModelShape
    length: int
    kv_bytes: int
    kv_number_bytes: int = 2

    @property
    def items(self) -> tuple[Item, ...]:
        served = Wanted(self.length, 1, 0, batched_tokens=self.length)
        cache = Item("KV cache", self.kv_bytes, f"a window of {self.length:,} tokens")
        return tuple(
            replace(item, what=f"fast: {item.what}") for item in (*_served(self.shape, served), cache)
        )

    @property
    def missing_bytes(self) -> int:
        """What a whole window takes more than its cache has."""
        return max(0, self.shape.kv_bytes(self.length, self.kv_number_bytes) - self.kv_bytes)


@dataclass(frozen=True, slots=True)
class Item:
    """What takes ``bytes`` of memory, and by which figures."""

    what: str
    bytes: int
    by: str


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds to the first token of a whole context: nothing read before, all of it in memory, all of it on the disk;
    None where nothing is published of the model, and a guess beyond ``longest`` tokens. ``tokens_per_s`` of one answer
    behind a whole context, ``ingest_s`` for embedding all passages."""

    cold_s: float | None
    warm_s: float | None
    disk_s: float | None
    tokens_per_s: float
    ingest_s: float
    source: str = ""
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """``kv_bytes`` are left for the KV cache or were asked for; ``needed_bytes`` is what all users fill at a time.
    ``resident_tokens`` is what it holds of contexts of the wanted length. ``disk_bytes`` are for index and vectors."""

    machine: str
    memory: int
    items: tuple[Item, ...]
    kv_bytes: int
    needed_bytes: int
    kv_bytes_per_token: int
    resident_tokens: int
    disk_bytes: int
    speed: Speed
    problems: tuple[str, ...] = field(default=())

    @property
    def fits(self) -> bool:
        return not self.problems


def plan(
    shape: ModelShape,
    wanted: Wanted,
    *,
    machine: Machine = SPARK,
    embedder: Helper,
    reranker: Helper | None = None,
    fast: Beside | None = None,
    cost: Cost | None = None,
    cost_source: str = "",
) -> Plan:
    items = (*_items(shape, wanted, embedder, reranker), *(fast.items if fast else ()))
    left = machine.memory - sum(item.bytes for item in items)
    kv_bytes = left if wanted.kv_bytes is None else wanted.kv_bytes
    one = shape.kv_bytes(wanted.context, wanted.kv_number_bytes)
    return Plan(
        machine=machine.name,
        memory=machine.memory,
        items=items,
        kv_bytes=max(0, kv_bytes),
        needed_bytes=wanted.users * one,
        kv_bytes_per_token=shape.kv_bytes_per_token(wanted.kv_number_bytes),
        resident_tokens=max(0, kv_bytes) * wanted.context // max(1, one),
        disk_bytes=wanted.passages * (ON_DISK + 4 * embedder.dimension),
        speed=_speed(shape, wanted, one, machine, embedder, cost, cost_source),
        problems=tuple(_problems(shape, wanted, left, kv_bytes, wanted.users * one, fast)),
    )


def _served(shape: ModelShape, wanted: Wanted) -> Iterator[Item]:
    """Of a model server, but for its KV cache."""
    yield Item("weights", shape.weight_bytes, f"{shape.parameters / 1e9:.2f} billion parameters")
    work = ACTIVATIONS * shape.hidden * wanted.batched_tokens * 2 + wanted.users * shape.vocabulary * 4
    yield Item("activations", work, f"pieces of {wanted.batched_tokens:,} tokens")
    yield Item("model server", RUNTIME, "CUDA context, kernels, graphs (assumed)")


def _items(shape: ModelShape, wanted: Wanted, embedder: Helper, reranker: Helper | None) -> Iterator[Item]:
    yield from _served(shape, wanted)
    for one in filter(None, (embedder, reranker)):
        work = one.weight_bytes + 64 * one.tokens * 4096 * 2 + GIB // 2
        yield Item(one.job, work, f"{one.model}, {one.parameters / 1e6:,.0f} million parameters")
    index = wanted.passages * (embedder.dimension + LINKS + POSTINGS)
    yield Item(
        "Qdrant",
        index + GIB // 2,
        f"{wanted.passages:,} vectors of {embedder.dimension}, 8 bits, graph, words",
    )
    yield Item("openbook", SERVICE, "the service (assumed)")
    yield Item("system", ROOM, "operating system, page cache, reserve (assumed)")


def _problems(
    shape: ModelShape, wanted: Wanted, left: int, kv_bytes: int, needed: int, fast: Beside | None
) -> Iterator[str]:
    if fast and fast.missing_bytes:
        yield (
            f"A window of {fast.length:,} tokens of {fast.name} takes {fast.missing_bytes / GIB:.1f} GiB more than its "
            "KV cache has."
        )
    if wanted.context > shape.window:
        yield f"The model's window is {shape.window:,} tokens; contexts of {wanted.context:,} do not fit into it."
    if left <= 0:
        yield f"Without any KV cache {-left / GIB:.1f} GiB are missing."
    elif kv_bytes > left:
        yield f"A KV cache of {kv_bytes / GIB:.1f} GiB is {(kv_bytes - left) / GIB:.1f} GiB more than is left."
    if needed > max(0, kv_bytes):
        yield (
            f"{wanted.users} contexts of {wanted.context:,} tokens at a time need {needed / GIB:.1f} GiB of KV cache, "
            f"{max(0, kv_bytes) / GIB:.1f} GiB are there."
        )


def _speed(
    shape: ModelShape,
    wanted: Wanted,
    kv_bytes: int,
    machine: Machine,
    embedder: Helper,
    cost: Cost | None,
    source: str,
) -> Speed:
    cached = int(wanted.context * SHARED)
    warm = cost.seconds(wanted.context - cached, cached) if cost else None
    per_passage = 2 * embedder.parameters * embedder.tokens
    return Speed(
        cold_s=cost.seconds(wanted.context) if cost else None,
        warm_s=warm,
        disk_s=None if warm is None else warm + kv_bytes / machine.disk_rate,
        tokens_per_s=DECODE_SHARE * machine.memory_rate / (shape.active_bytes + kv_bytes),
        ingest_s=wanted.passages * per_passage / (EMBED_SHARE * machine.flops),
        source=source,
        longest=cost.spread.longest if cost else 0,
    )
