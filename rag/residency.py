"""What the model server has in its prefix cache, as far as what was sent to it tells. Safe to use from threads."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock

from rag.order import Name, Readable, Tree
from rag.ports import CacheShape, Delta, Message, ModelInfo
from rag.prefix_cache import Key, Lease, NoRoom, PrefixCache
from rag.prompt import pieces_in
from rag.remembered import Remembered
from rag.template import Encoded
from rag.types import Block, Context

log = logging.getLogger(__name__)

_END = 0  # stands for the token that ends a reply, whose id is not told; it is never computed


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent; ``blocks`` stand right behind the instructions. ``cached`` is how many of its ``tokens`` are
    expected in the server's cache, whose blocks have the ``keys``, as many as it fills or more. Both are None where
    that is not known. Only prompts of the same ``salt`` share cache blocks."""

    messages: Sequence[Message]
    blocks: Sequence[Block] = ()
    encoded: Encoded | None = None
    cached: int | None = None
    keys: Sequence[Key] | None = None
    salt: str = ""

    @property
    def ids(self) -> Sequence[int]:
        return self.encoded.ids if self.encoded else ()

    @property
    def tokens(self) -> int | None:
        return len(self.encoded.ids) if self.encoded else None

    def beginning(self, tokens: int) -> Prompt:
        """Its first tokens, which ask for nothing, with the blocks that end in them."""
        assert self.encoded
        ends = tuple(end for end in self.encoded.ends if end <= tokens)
        cached = None if self.cached is None else min(self.cached, tokens)
        blocks = self.blocks[: max(0, sum(end <= tokens for end in self.ends) - 1)]
        return Prompt((), blocks, Encoded(self.encoded.ids[:tokens], ends), cached, self.keys, self.salt)

    @property
    def shared(self) -> Prompt:
        """Up to the end of its last block, which is what others may begin with, too."""
        return self.beginning(self.ends[-1])

    @property
    def ends(self) -> Sequence[int]:
        """Of the instructions, which are the first piece, and of each block."""
        ends = self.encoded.ends if self.encoded else ()
        places = accumulate(map(pieces_in, self.blocks), initial=0)
        return [ends[at] for at in places if at < len(ends)]


@dataclass(slots=True)
class _Held:
    """Of one server: its cache, and the blocks that lie in it."""

    cache: PrefixCache
    trees: defaultdict[str, Tree]  # by salt

    @classmethod
    def of(cls, shape: CacheShape) -> _Held:
        return cls(PrefixCache(shape.block_size, shape.blocks), defaultdict(Tree))

    def keys(self, prompt: Prompt) -> Sequence[Key]:
        """Of the blocks that a prompt fills."""
        if prompt.keys is None:
            return self.cache.keys(prompt.ids, prompt.salt)
        return prompt.keys[: len(prompt.ids) // self.cache.block_size]


class Residency:
    """Knows nothing of servers that do not tell the shape of their cache, or whose prompts are not sent as ids."""

    def __init__(self, tokens: Remembered) -> None:
        self._tokens = tokens
        self._model: ModelInfo | None = None
        self._held: _Held | None = None
        self._lock = Lock()

    def lead(
        self,
        model: ModelInfo,
        context: Context,
        documents: Mapping[str, Readable],
        begun: Sequence[Name] = (),
        *,
        salt: str = "",
    ) -> tuple[Name, ...]:
        """The blocks to begin a context with, or to go on with behind those ``begun``, instead of its own order;
        ``documents`` as rag.order has it."""
        with self._lock:
            if (held := self._of(model)) is None:
                return ()
            chosen = {
                passage.at: passage.tokens
                for block in context.blocks[len(begun) :]
                for passage in block.passages
            }
            return held.trees[salt].lead(chosen, context.budget, documents, held.cache, begun)

    def prompt(
        self, model: ModelInfo, messages: Sequence[Message], blocks: Sequence[Block], salt: str = ""
    ) -> Prompt:
        encoded = None
        if model.template:
            encoded = model.template.encode([message.pieces for message in messages], self._tokens.encode)
        with self._lock:
            held = self._of(model)
            if held is None or encoded is None:
                return Prompt(messages, blocks, encoded, salt=salt)
            keys = held.cache.keys(encoded.ids, salt)
            return Prompt(messages, blocks, encoded, held.cache.match(encoded.ids, keys=keys), keys, salt)

    def sent(self, model: ModelInfo, prompt: Prompt) -> Sent | None:
        """The server is about to compute a prompt."""
        with self._lock:
            return self._sent(model, prompt)

    def _sent(self, model: ModelInfo, prompt: Prompt) -> Sent | None:
        held = self._of(model)
        if held is None or prompt.encoded is None:
            return None
        keys = held.keys(prompt)
        try:
            lease = held.cache.begin(prompt.ids, prompt.salt, keys=keys)
        except NoRoom:  # it waits for others to end; what it finds then is not known now
            return None
        held.trees[prompt.salt].add(prompt.blocks, _own(keys, prompt, held.cache.block_size))
        return Sent(self, model, prompt, held, lease)

    def meet(self, model: ModelInfo) -> None:
        """Before anything is counted for it: what is known of another model is forgotten."""
        with self._lock:
            self._of(model)

    def forget(self) -> None:
        """The server has begun anew."""
        with self._lock:
            self._held = None

    def keys(self, model: ModelInfo, prompt: Prompt) -> Sequence[Key]:
        """Of the full blocks of the server's cache that a prompt fills."""
        with self._lock:
            held = self._of(model)
            return held.keys(prompt) if held else []

    def resident(self, chains: Sequence[Sequence[Key]]) -> int | None:
        """Tokens in those of these prompts' cache blocks that are there, each counted once; None where nothing is known
        of the server."""
        with self._lock:
            if (held := self._held) is None:
                return None
            there = {key for keys in chains for key in keys[: held.cache.resident(keys)]}
            return len(there) * held.cache.block_size

    def ended(self, sent: Sent, text: str, last: Delta) -> None:
        """The server has answered, or was stopped, after ``text``."""
        ids = (self._tokens.encode([text]) or [[]])[0] if text else []
        generated = [*ids, _END] if last.finish_reason == "stop" else ids
        cached = last.usage.cached if last.usage else None
        with self._lock:
            _end(sent.lease, generated)
            if cached == 0 and sent.cached > 0 and sent.held is self._held:
                log.info("the server has lost its cache: none of %d tokens was found", sent.cached)
                self._held = None
                if again := self._sent(sent.model, sent.prompt):
                    _end(again.lease, generated)

    def _of(self, model: ModelInfo) -> _Held | None:
        if model != self._model:
            self._model, self._held = model, None
            self._tokens.forget()
        if self._held is None and model.cache and model.template:
            self._held = _Held.of(model.cache)
        return self._held


@dataclass(frozen=True, slots=True)
class Sent:
    """A prompt that the server is computing."""

    residency: Residency
    model: ModelInfo
    prompt: Prompt
    held: _Held
    lease: Lease

    @property
    def cached(self) -> int:
        """Tokens that the server is expected to find in its cache."""
        return self.lease.cached

    def ended(self, text: str, last: Delta) -> None:
        self.residency.ended(self, text, last)


def _own(keys: Sequence[Key], prompt: Prompt, block_size: int) -> list[Sequence[Key]]:
    """The cache blocks that end in each block of the prompt; those of the instructions in the first."""
    ends = [0, *prompt.ends[1:]]
    return [keys[ends[at] // block_size : end // block_size] for at, end in enumerate(ends[1:])]


def _end(lease: Lease, generated: Sequence[int]) -> None:
    try:
        lease.extend(generated)
    except NoRoom:
        log.debug("no room for %d generated tokens", len(generated))
    finally:
        lease.end()
