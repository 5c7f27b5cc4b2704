"""Which blocks are read first, so that the server need not prefill again what it holds already. Pure.

A server's prefix cache holds beginnings of prompts. So what was sent is kept as a tree of blocks from the
instructions on, each path the beginning of a prompt; a context begins with the path of which the most is resident and
wanted, and what else it holds follows by document, the most read first: the next prompt about the same things may
then begin alike. In a long context a path may lead through blocks that are near but not chosen, which take the place
of the last of what was chosen; in a short one that would cost evidence (docs/log.md), so nothing takes its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from rag.prefix_cache import Key
from rag.types import At, Block, Document, Passage

# Tokens of what was chosen, the best, of which nothing takes the place; and the share of the budget that at most is for
# what was not chosen: blocks on the path, and headings that it makes needful.
KEPT, SPARE = 8000, 0.25


@dataclass(frozen=True, slots=True)
class Name:
    """A block without its text: passages ``first`` to ``last`` of a document's revision."""

    document_id: str
    revision: str
    first: int
    last: int

    @property
    def places(self) -> list[At]:
        return [(self.document_id, ordinal) for ordinal in range(self.first, self.last + 1)]


class Readable(NamedTuple):
    """A document of which more may be read: ``heading`` counts the tokens that one above a block of it takes."""

    revision: str
    heading: Callable[[], int] = lambda: 0


class Cache(Protocol):
    def resident(self, keys: Sequence[Key]) -> int:
        """How many of the first of these cache blocks are there."""
        ...


@dataclass(slots=True)
class _Node:
    """``tokens`` of the block's text; ``keys`` of the cache blocks that end in it."""

    tokens: int = 0
    keys: Sequence[Key] = ()
    children: dict[Name, _Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Path:
    """Of its tokens ``wanted`` are read anyway and ``extra`` not; ``headings`` are needed above what is chosen of its
    documents and stands behind it, ``left`` tokens of each."""

    names: tuple[Name, ...] = ()
    wanted: int = 0
    extra: int = 0
    headings: int = 0
    left: Mapping[str, int] = field(default_factory=dict)

    def to(self, name: Name, wanted: int, extra: int, chosen: int, heading: int) -> _Path:
        """``chosen`` tokens of the document are to be read in all."""
        before = self.left.get(name.document_id, 0)
        left = self.left.get(name.document_id, chosen) - wanted
        headings = self.headings + heading * ((left > 0) - (before > 0))
        known = {**self.left, name.document_id: left}
        return _Path((*self.names, name), self.wanted + wanted, self.extra + extra, headings, known)

    @property
    def instead(self) -> int:
        """Tokens that are read for it instead of something chosen."""
        return self.extra + self.headings


def _gain(path: _Path) -> tuple[int, int]:
    """What is spared, less what is read instead of something chosen."""
    return path.wanted - path.instead, -path.instead


class Tree:
    """What was sent, from the instructions on. Beyond ``most_nodes`` blocks, those that the server no longer holds are
    forgotten. Not safe from threads."""

    def __init__(self, most_nodes: int = 50_000, kept: int = KEPT) -> None:
        self.most_nodes, self.kept = most_nodes, kept
        self._root = _Node()
        self._nodes = 0

    def add(self, blocks: Sequence[Block], keys: Sequence[Sequence[Key]]) -> None:
        """Blocks as they stood at the beginning of a prompt, and the cache blocks that end in each."""
        node = self._root
        for block, own in zip(blocks, keys, strict=True):
            name = name_of(block)
            if name not in node.children:
                node.children[name] = _Node()
                self._nodes += 1
            node = node.children[name]
            node.tokens, node.keys = block.tokens, own

    def lead(
        self,
        chosen: Mapping[At, int],
        budget: int,
        documents: Mapping[str, Readable],
        cache: Cache,
        begun: Sequence[Name] = (),
    ) -> tuple[Name, ...]:
        """The path to go on with behind the blocks ``begun``. ``chosen``: the tokens of each passage that is to be
        read; ``documents``: those of which more may be read."""
        self._prune(cache)
        spare = min(int(budget * SPARE), max(0, budget - self.kept))
        of_document: Counter[str] = Counter()
        for (document_id, _), tokens in chosen.items():
            of_document[document_id] += tokens
        best, open_ = _Path(), [(node, _Path()) for node in self._behind(begun)]
        while open_:
            node, path = open_.pop()
            if path.instead <= spare:
                best = max(best, path, key=_gain)  # of equal ones the oldest, again and again
            for name, child in reversed(node.children.items()):
                document = documents.get(name.document_id)
                if document is None or document.revision != name.revision:
                    continue
                wanted = sum(chosen.get(place, 0) for place in name.places)
                extra = child.tokens - wanted
                if path.extra + extra <= spare and cache.resident(child.keys) == len(child.keys):
                    in_all = of_document[name.document_id]
                    open_.append((child, path.to(name, wanted, extra, in_all, document.heading())))
        return best.names

    def _behind(self, names: Sequence[Name]) -> list[_Node]:
        """The node of these blocks, if they were sent."""
        node: _Node | None = self._root
        for name in names:
            node = node.children.get(name) if node else None
        return [node] if node else []

    def _prune(self, cache: Cache) -> None:
        """Without what the server no longer holds."""
        if self._nodes > self.most_nodes:
            self._nodes = _pruned(self._root, cache)


def _pruned(node: _Node, cache: Cache) -> int:
    node.children = {
        name: child for name, child in node.children.items() if cache.resident(child.keys) == len(child.keys)
    }
    return sum(1 + _pruned(child, cache) for child in node.children.values())


def name_of(block: Block) -> Name:
    first, last = block.passages[0], block.passages[-1]
    return Name(block.document.id, block.document.revision, first.ordinal, last.ordinal)


def blocks_of(
    names: Sequence[Name], documents: Mapping[str, Document], passages: Mapping[At, Passage]
) -> list[Block]:
    """With their text, up to the first of which not all is there."""
    blocks: list[Block] = []
    for name in names:
        run = tuple(passages[place] for place in name.places if place in passages)
        if len(run) < name.last - name.first + 1:
            break
        blocks.append(Block(len(blocks) + 1, documents[name.document_id], run))
    return blocks
