"""Which language a text is written in, and how words of that language meet: stop words and stems for BM25."""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from operator import itemgetter
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from qdrant_edge import Bm25, Bm25Config, TokenizerType

# ISO 639-1, and what Qdrant's BM25 calls it; text of any other language is taken as English, whose stemmer leaves
# foreign words mostly alone.
NAMES = {
    "ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "fi": "finnish",
    "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish", "ja": "japanese", "zh": "chinese",
}  # fmt: skip
DEFAULT = "en"
_WITHOUT_SPACES = ("ja", "zh")  # their words are found by dictionary
# What the identifier tells apart, and its writing hardly does.
_WRITTEN_AS = {"wuu": "zh", "yue": "zh", "nn": "no"}
_SAMPLE = 4000  # characters that are looked at
_SHORT = 200  # characters; less is no proof
_SURE = 0.95


def language_of(text: str) -> str:
    """ISO 639-1, or empty where that is not sure (a short text, a table of figures, code)."""
    sample = text[:_SAMPLE]
    if len(sample) < _SHORT:
        return ""
    probabilities: defaultdict[str, float] = defaultdict(float)
    for variety, probability in _identifier().rank(sample):
        probabilities[_WRITTEN_AS.get(variety, variety)] += probability
    language, likely = max(probabilities.items(), key=itemgetter(1))
    return language if likely >= _SURE else ""


def weights(language: str) -> Bm25:
    """The BM25 encoder of a language. Ships with Qdrant Edge, works offline; its token ids are those of the server's
    BM25 inference."""
    return _encoder(language if language in NAMES else DEFAULT)


def known(languages: Iterable[str]) -> list[str]:
    """Of these, one for each encoder that they need; at least the default."""
    return sorted({language if language in NAMES else DEFAULT for language in languages} or {DEFAULT})


@cache
def _encoder(language: str) -> Bm25:
    tokenizer = TokenizerType.Multilingual if language in _WITHOUT_SPACES else TokenizerType.Word
    return Bm25(Bm25Config(language=NAMES[language], tokenizer=tokenizer))


class _Identifier:
    """py3langid's, with its two large tables (67 MB) in a file that has no name, of which a text touches little: what
    was touched does not stay in memory."""

    def __init__(self) -> None:
        from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier  # half a second
        from py3langid.modelio import load_model

        likelihoods, priors, languages, moves, rows, outputs = load_model(MODEL_DIR / MODEL_FILE)
        self._maps = _mapped(likelihoods), _mapped(moves)
        table = np.frombuffer(self._maps[0], likelihoods.dtype).reshape(likelihoods.shape)
        walk = memoryview(self._maps[1]).cast(moves.typecode)
        self._known = LanguageIdentifier(
            table, priors, languages, walk, outputs, norm_probs=True, tk_row=rows
        )

    def rank(self, text: str) -> list[tuple[str, float]]:
        ranked: list[tuple[str, float]] = self._known.rank(text)
        for each in self._maps:
            each.madvise(mmap.MADV_DONTNEED)
        return ranked


def _mapped(values: Any) -> mmap.mmap:
    with TemporaryFile() as file:
        file.write(memoryview(values))
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@cache
def _identifier() -> _Identifier:
    return _Identifier()
