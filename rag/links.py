"""Which documents a text names. Pure.

What answers the second half of a question is often in a document that the first half's passage names: by its title, or
by its file's name. Both are compared as their words, so that a look-up needs no search.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from rag.text import cased_words
from rag.types import Document

LONGEST = 8  # words of a title
SHARED = 3  # a name that more documents bear (README, index) tells none of them
_ASIDE = re.compile(r"(?<!\s)\s*+\([^()]*\)")  # "Mercury (planet)" is named as Mercury


def names(document: Document) -> list[str]:
    """What a text would call the document."""
    title = _ASIDE.sub("", document.title)
    stem = PurePosixPath(document.name).stem
    called = (cased_words(name) for name in (title, document.title, stem))
    return sorted({_key(words) for words in called if _tells(words)})


def mentions(text: str) -> list[str]:
    """Every stretch of words that could be a name: one that begins with a capital or a digit."""
    words = cased_words(text)
    found: dict[str, None] = {}
    for first, word in enumerate(words):
        if word[0].islower():
            continue
        for last in range(first + 1, min(first + LONGEST, len(words)) + 1):
            if _tells(words[first:last]):
                found[_key(words[first:last])] = None
    return list(found)


def meant(documents: Sequence[Document], said: Collection[str]) -> list[Document]:
    """Those that are called by one of the names, and are among few that are."""
    bearers = Counter(name for document in documents for name in names(document))
    known = {name for name in said if bearers[name] <= SHARED}
    return [document for document in documents if not known.isdisjoint(names(document))]


def _tells(words: list[str]) -> bool:
    """A single short word would be named everywhere."""
    return 0 < len(words) <= LONGEST and (len(words) > 1 or len(words[0]) > 3)


def _key(words: list[str]) -> str:
    return " ".join(words).lower()
