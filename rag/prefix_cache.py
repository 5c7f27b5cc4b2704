"""What vLLM would find in its prefix cache: the same blocks, filed under chained keys, evicted in the same order.

Mirrors the block pool of vLLM V1 for models whose layers all attend to everything. Not safe from threads.
https://docs.vllm.ai/en/latest/design/prefix_caching.html
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile

import numpy as np

Key = int  # of a cache block: a hash of all that stands up to its end, by Python's own, which differs by process


class NoRoom(Exception):
    """Running requests hold so many blocks that this one has to wait."""


class _Block:
    """``key`` is that of the text up to its end, once it is full; ``users`` are the running requests that hold it."""

    __slots__ = ("key", "users")

    def __init__(self) -> None:
        self.key: Key | None = None
        self.users = 1


class PrefixCache:
    """``capacity_blocks`` is the server's ``num_gpu_blocks``, of which it keeps one as a placeholder."""

    def __init__(self, block_size: int, capacity_blocks: int) -> None:
        if block_size < 1 or capacity_blocks < 2:
            raise ValueError(f"{capacity_blocks} blocks of {block_size} tokens can hold nothing.")
        self.block_size, self.capacity_blocks = block_size, capacity_blocks
        self._blank = capacity_blocks - 1  # free and without text: taken first
        self._idle: OrderedDict[_Block, None] = OrderedDict()  # free with their text: the first goes first
        # Requests that compute the same text side by side have a block of it each; the oldest is the one found.
        self._filed: dict[Key, _Block] = {}
        self._copies: dict[Key, list[_Block]] = {}

    @property
    def resident_blocks(self) -> int:
        """Different full blocks of text that a request could find."""
        return len(self._filed)

    def keys(self, ids: Sequence[int], salt: str = "") -> list[Key]:
        """Of the full blocks of ``ids``, each of the whole text up to its end."""
        return _chain(ids, self.block_size, hash(salt))

    def resident(self, keys: Sequence[Key]) -> int:
        """How many of the first blocks are there."""
        return len(list(takewhile(self._filed.__contains__, keys)))

    def match(self, ids: Sequence[int], salt: str = "", *, keys: Sequence[Key] | None = None) -> int:
        """Tokens of this prompt that would be reported as cached. ``keys`` are those of ``ids``, if known."""
        keys = self.keys(ids, salt) if keys is None else keys
        return self.resident(self._findable(ids, keys)) * self.block_size

    def begin(
        self,
        ids: Sequence[int],
        salt: str = "",
        *,
        keys: Sequence[Key] | None = None,
        first_chunk: int | None = None,
    ) -> Lease:
        """A request starts: what is cached is held for it, and room taken for the whole prompt, or for the first
        ``first_chunk`` tokens that are not cached. ``keys`` are those of ``ids``, if known. Raises NoRoom,
        having changed nothing, unless the whole prompt fits."""
        keys = self.keys(ids, salt) if keys is None else keys
        hits = self._leading(self._findable(ids, keys))
        missing = -(-len(ids) // self.block_size) - len(hits)
        if missing + sum(block.users == 0 for block in hits) > self._blank + len(self._idle):
            raise NoRoom
        for block in hits:
            if block.users == 0:
                del self._idle[block]
            block.users += 1
        lease = Lease(self, ids, keys, hits, salt)
        lease.compute(len(ids) if first_chunk is None else min(lease.cached + first_chunk, len(ids)))
        return lease

    def run(
        self, ids: Sequence[int], generated: Sequence[int] = (), salt: str = "", *, ran_ahead: bool = False
    ) -> int:
        """A whole request, alone: the tokens that were cached when it began."""
        lease = self.begin(ids, salt)
        try:
            lease.extend(generated)
        finally:
            lease.end(ran_ahead=ran_ahead)
        return lease.cached

    def _findable(self, ids: Sequence[int], keys: Sequence[Key]) -> Sequence[Key]:
        """The last token is always computed, and with it its whole block, even where that is there."""
        return keys[: max(len(ids) - 1, 0) // self.block_size]

    def _leading(self, keys: Sequence[Key]) -> list[_Block]:
        return [self._filed[key] for key in takewhile(self._filed.__contains__, keys)]

    def _take(self, count: int) -> list[_Block]:
        if count > self._blank + len(self._idle):
            raise NoRoom
        blank = min(count, self._blank)
        self._blank -= blank
        for _ in range(count - blank):
            block, _none = self._idle.popitem(last=False)
            assert block.key is not None
            self._forget(block, block.key)
        return [_Block() for _ in range(count)]

    def _file(self, blocks: Sequence[_Block], keys: Sequence[Key]) -> None:
        for block, key in zip(blocks, keys, strict=True):
            block.key = key
            if self._filed.setdefault(key, block) is not block:
                self._copies.setdefault(key, []).append(block)

    def _forget(self, block: _Block, key: Key) -> None:
        copies = self._copies.get(key, [])
        if self._filed[key] is not block:
            copies.remove(block)
        elif copies:
            self._filed[key] = copies.pop(0)
        else:
            del self._filed[key]
        if not copies:
            self._copies.pop(key, None)

    def _release(self, blocks: Sequence[_Block]) -> None:
        for block in reversed(blocks):  # the end of a text is evicted before its beginning
            block.users -= 1
            if block.users == 0 and block.key is None:
                self._blank += 1
            elif block.users == 0:
                self._idle[block] = None


class Lease:
    """A running request: ``cached`` tokens were there when it began, ``length`` are known, ``computed`` are in
    blocks of its own."""

    def __init__(
        self, cache: PrefixCache, ids: Sequence[int], keys: Sequence[Key], hits: list[_Block], salt: str
    ) -> None:
        self.cached = self.computed = len(hits) * cache.block_size
        self.length = len(ids)
        self._cache, self._salt = cache, salt
        self._keys, self._blocks, self._filed = list(keys), hits, len(hits)
        self._tail = list(ids[len(keys) * cache.block_size :])  # what fills no block yet

    def compute(self, upto: int) -> None:
        """Takes room for the first ``upto`` tokens; the blocks that they fill can be found from now on.
        Raises NoRoom, having changed nothing."""
        self._reserve(upto)
        self.computed = max(self.computed, upto)
        full = self.computed // self._cache.block_size
        self._cache._file(self._blocks[self._filed : full], self._keys[self._filed : full])
        self._filed = full

    def _reserve(self, upto: int) -> None:
        wanted = -(-upto // self._cache.block_size)
        self._blocks += self._cache._take(max(wanted - len(self._blocks), 0))

    def extend(self, generated: Sequence[int]) -> None:
        """The model's next tokens; the last is not computed before it is read for another. Raises NoRoom."""
        self.length += len(generated)
        self._tail += generated
        parent = self._keys[-1] if self._keys else hash(self._salt)
        more = _chain(self._tail, self._cache.block_size, parent)
        self._keys += more
        del self._tail[: len(more) * self._cache.block_size]
        if generated:
            self.compute(self.length - 1)

    def end(self, *, ran_ahead: bool = False) -> None:
        """At its end, or before it: what has been computed stays until its room is needed. ``ran_ahead``: the server
        schedules a step before it has seen the last one's token (asynchronous scheduling, the default on a GPU), and
        the model ended its answer by itself: then there was room for one token more."""
        if ran_ahead:
            with suppress(NoRoom):
                self._reserve(self.length)
        self._cache._release(self._blocks)
        self._blocks = []


def _chain(ids: Sequence[int], block_size: int, parent: Key) -> list[Key]:
    full = len(ids) // block_size
    # Rows of bytes, cut by numpy: a prompt of 128k tokens has thousands.
    blocks = np.array(ids[: full * block_size], np.uint32).view(f"V{4 * block_size}").tolist()
    keys = []
    for block in blocks:
        parent = hash((parent, block))
        keys.append(parent)
    return keys
