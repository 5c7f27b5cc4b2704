"""Token ids of passages, made when they are ingested, so that no question waits for their text to be tokenized."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from pathlib import Path

from rag.models.kept import MAX_BYTES, Kept
from rag.ports import TokenCounter
from rag.template import Ids

SHORT = 128  # characters; what has fewer is tokenized sooner than it is found


class KeptTokens:
    """A TokenCounter over another; by its name and the text, ids that were to be kept are there again. Of other texts,
    as questions, nothing is kept, nor of SHORT ones. Safe to use from threads."""

    def __init__(self, tokens: TokenCounter, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._tokens = tokens
        self._kept = Kept(path, "passages are tokenized", max_bytes=max_bytes)

    @property
    def name(self) -> str:
        return self._tokens.name

    @property
    def exact(self) -> bool:
        return self._tokens.exact

    def count(self, texts: Sequence[str]) -> list[int]:
        return self._tokens.count(texts)

    def encode(self, texts: Sequence[str]) -> Sequence[Ids] | None:
        keys = self._keys(texts)
        found = self._kept.get(list(keys.values())) if keys else {}
        known = {text: array("I", found[key]) for text, key in keys.items() if key in found}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        made = self._tokens.encode(missing) if missing else ()
        if made is None:
            return None
        of: dict[str, Ids] = {**known, **dict(zip(missing, made, strict=True))}
        return [of[text] for text in texts]

    def keep(self, texts: Sequence[str]) -> None:
        keys = self._keys(texts)
        known = self._kept.get(list(keys.values()))
        self._kept.use(known)
        missing = [text for text, key in keys.items() if key not in known]
        if missing and (made := self._tokens.encode(missing)) is not None:
            ids = (array("I", each).tobytes() for each in made)
            self._kept.put({keys[text]: value for text, value in zip(missing, ids, strict=True)})

    def forget(self) -> None:
        self._tokens.forget()

    def close(self) -> None:
        self._kept.close()

    def _keys(self, texts: Sequence[str]) -> dict[str, bytes]:
        """Of texts that are not short."""
        if not (long := [text for text in texts if len(text) > SHORT]):
            return {}
        start = hashlib.blake2b(f"{self._tokens.name}\0".encode(), digest_size=20)
        keys = {}
        for text in long:
            key = start.copy()
            key.update(text.encode(errors="surrogatepass"))
            keys[text] = key.digest()
        return keys
