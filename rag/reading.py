"""Reading a collection while another may take its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rag.errors import StoreUnavailable
from rag.ports import Index, Store

T = TypeVar("T")


def read(store: Store, collection: str, work: Callable[[Index], T]) -> T:
    """What ``work`` makes of the collection. One that was built anew and swapped in meanwhile has closed the old one,
    so what fails is done once more. Raises what ``Store.open`` and ``work`` raise."""
    try:
        return work(store.open(collection))
    except StoreUnavailable:
        return work(store.open(collection))
