"""Random text of an exact number of tokens: common words that are one token each, whatever stands before them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rag.ports import TokenCounter

_COMMON = (
    "time year people way day man thing woman life child world school state family student group country problem "
    "hand part place case week company system program question work government number night point home water room "
    "mother area money story fact month lot right study book eye job word business issue side kind head house "
    "service friend father power hour game line end member law car city community name president team minute idea "
    "body information back parent face level office door health person art war history party result change morning "
    "reason research girl guy moment air teacher force education"
).split()


def vocabulary(tokens: TokenCounter) -> list[str]:
    """All of the words where none is one token: lengths are then about what is asked for."""
    alone = tokens.count([f" {word}" for word in _COMMON])
    pairs = tokens.count([f" {word} {word}" for word in _COMMON])
    exact = [w for w, one, two in zip(_COMMON, alone, pairs, strict=True) if (one, two) == (1, 2)]
    return exact or list(_COMMON)


def words(count: int, seed: str, among: Sequence[str]) -> str:
    return "".join(f" {word}" for word in random.Random(seed).choices(among, k=count))
