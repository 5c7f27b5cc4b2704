"""Reading collections while another may take the place of one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rag.errors import BadRequest, StoreUnavailable
from rag.ports import Reader, Store
from rag.several import Several

T = TypeVar("T")


def read(store: Store, collections: Sequence[str], work: Callable[[Reader], T]) -> T:
    """What ``work`` makes of the collections. One that was built anew and swapped in meanwhile has closed the old one,
    so what fails is done once more. Raises what ``Store.open`` and ``work`` raise."""
    try:
        return work(_open(store, collections))
    except StoreUnavailable:
        return work(_open(store, collections))


def _open(store: Store, collections: Sequence[str]) -> Reader:
    indexes = [store.open(name) for name in dict.fromkeys(collections)]
    if not indexes:
        raise BadRequest("No collection is named.", "Name at least one.")
    return indexes[0] if len(indexes) == 1 else Several(indexes)
