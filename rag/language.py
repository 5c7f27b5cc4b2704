"""Which language a text is written in, and how words of that language meet: stop words and stems for BM25."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

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
    probabilities: Counter[str] = Counter()
    for variety, probability in _identifier().rank(sample):
        probabilities[_WRITTEN_AS.get(variety, variety)] += probability
    ((language, likely),) = probabilities.most_common(1)
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


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # half a second

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
