"""Who makes a request, and what it may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from rag.errors import CollectionNotFound

Scope = Literal["read", "ask", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

ALL = ("*",)


@dataclass(frozen=True, slots=True)
class Caller:
    """``collections`` are names or globs of those that there are for it. Conversations, and what the model server has
    cached, are its ``tenant``'s alone; the owner's is empty. ``key`` is the id of the one that it has shown, empty for
    the owner of the data folder and for who needs none."""

    name: str
    scopes: frozenset[Scope]
    collections: tuple[str, ...] = ALL
    tenant: str = ""
    key: str = ""

    def sees(self, collection: str) -> bool:
        return any(fnmatchcase(collection, glob) for glob in self.collections)

    def visible(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.sees(name)]

    def check(self, names: Iterable[str]) -> None:
        """Raises CollectionNotFound for one that is not the caller's, whether there is one or not."""
        for name in names:
            if not self.sees(name):
                raise CollectionNotFound.hidden(name)


OWNER = Caller("owner", frozenset(SCOPES))
LOCAL = Caller("local", frozenset({"read", "ask"}))  # on loopback, without a key
