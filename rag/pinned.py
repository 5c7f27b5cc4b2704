"""The documents that every question of a collection reads first, so that all its prompts begin alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from rag.collection_settings import CollectionSettings
from rag.types import Block, Document, short_name

KEY = "pinned"  # of rag.collection_settings
SHARE = 2  # of the tokens for documents, one part in so many may be pinned


@dataclass(frozen=True, slots=True)
class Pin:
    """A document by its id and source, whatever its revision, and though it may be gone for a while."""

    id: str
    source: str

    @property
    def name(self) -> str:
        return short_name(self.source)


class Pins:
    """Which documents are pinned. Durable."""

    def __init__(self, settings: CollectionSettings) -> None:
        self._settings = settings

    def of(self, collections: Sequence[str]) -> list[Pin]:
        """By source."""
        kept = (sources for sources in self._settings.values(KEY, collections))
        pins = [Pin(id_, source) for sources in kept for id_, source in sources.items()]
        return sorted(pins, key=lambda pin: (pin.source, pin.id))

    def add(self, collection: str, documents: Sequence[Document]) -> None:
        self._set(collection, [*self.of([collection]), *_pins(documents)])

    def replace(self, collection: str, documents: Sequence[Document]) -> None:
        """These alone are pinned then."""
        self._set(collection, _pins(documents))

    def remove(self, collection: str, ids: Container[str]) -> None:
        self._set(collection, [pin for pin in self.of([collection]) if pin.id not in ids])

    def _set(self, collection: str, pins: Sequence[Pin]) -> None:
        self._settings.set(collection, KEY, {pin.id: pin.source for pin in pins} or None)


def _pins(documents: Sequence[Document]) -> list[Pin]:
    return [Pin(document.id, document.source) for document in documents]


@dataclass(frozen=True, slots=True)
class Pinned:
    """``blocks`` are documents that are read first, each whole. Those in ``over`` would take more than the ``limit`` of
    tokens."""

    blocks: tuple[Block, ...] = ()
    over: tuple[Document, ...] = ()
    limit: int = 0

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(block.document.id for block in self.blocks)

    def without(self, ids: Container[str]) -> Pinned:
        return replace(self, blocks=tuple(each for each in self.blocks if each.document.id not in ids))

    def notes(self, blocks: Sequence[Block]) -> Iterator[str]:
        """What a receipt says of those that are not whole in a context."""
        read = Counter(passage.document_id for block in blocks for passage in block.passages)
        for documents, why in (
            (self.over, f"what is pinned may take half of the budget, {self.limit:,} tokens"),
            ((block.document for block in self.blocks), "so many tokens were not left for it"),
        ):
            for document in documents:
                if read[document.id] < document.passages:
                    yield f"Pinned, but not read whole: {document.name}, {document.tokens:,} tokens; {why}."


NOTHING = Pinned()
