"""Tokens of texts that come again and again: instructions, headings, blocks of documents."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from rag.ports import TokenCounter
from rag.template import Ids


class Remembered:
    """A token counter that keeps the ids of the last texts it was asked for, ``most`` ids in all; without ids, nothing.
    Safe to use from threads."""

    def __init__(self, tokens: TokenCounter, most: int = 4_000_000) -> None:
        self._tokens, self._most = tokens, most
        self._kept: OrderedDict[str, Ids] = OrderedDict()
        self._size = 0
        self._models = 0  # that were served
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._tokens.name

    @property
    def exact(self) -> bool:
        return self._tokens.exact

    def count(self, texts: Sequence[str]) -> list[int]:
        encoded = self.encode(texts)
        return self._tokens.count(texts) if encoded is None else [len(ids) for ids in encoded]

    def encode(self, texts: Sequence[str]) -> list[Ids] | None:
        with self._lock:
            model = self._models
            known: dict[str, Ids] = {"": array("I")}
            known |= {text: ids for text in texts if (ids := self._kept.get(text)) is not None}
        if new := list(dict.fromkeys(text for text in texts if text not in known)):
            made = self._tokens.encode(new)
            if made is None:
                return None
            # A tenth of a list's size.
            known |= {
                text: ids if isinstance(ids, array) else array("I", ids)
                for text, ids in zip(new, made, strict=True)
            }
        with self._lock:
            for text in texts if model == self._models else ():
                self._keep(text, known[text])
        return [known[text] for text in texts]

    def keep(self, texts: Sequence[str]) -> None:
        self._tokens.keep(texts)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()
            self._size = 0
            self._models += 1
        self._tokens.forget()

    def _keep(self, text: str, ids: Ids) -> None:
        if text not in self._kept:
            self._kept[text] = ids
            self._size += len(ids)
        self._kept.move_to_end(text)
        while self._size > self._most:
            self._size -= len(self._kept.popitem(last=False)[1])
