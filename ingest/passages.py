"""Passages: tiles that cover a document's text without gap or overlap, cut where a reader would cut."""

from __future__ import annotations

import re
import sys
import unicodedata
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec, module_from_spec
from itertools import accumulate, pairwise

from ingest.parsed import Parsed, Region
from rag.types import Passage

# Part of a document's revision: raise it whenever the same text gives other tiles.
TILING_VERSION = "1"

Splitter = Callable[[str], list[str]]

# A shorter tile says too little to be found or read by itself; a share of the limit.
_SMALL = 0.15
# A longer line without breaks is data, not prose (minified code, base64), and would take the sentence
# tokenizer minutes; in characters.
_MAX_PROSE = 50_000
# How far a hard cut looks back for a whole character.
_MAX_CLUSTER = 32

# Blank lines end what is above them; indentation begins what follows.
_PARAGRAPH_END = re.compile(r"\n(?:[^\S\n]*\n)+")
# A line that ends a sentence: in wrapped text, such as that of a PDF, the better one of two line ends.
_STOP_END = re.compile(r"[.!?][\"'”’»)\]]*[^\S\n]*\n(?:[^\S\n]*\n)*")
_LINE_END = re.compile(r"\n(?:[^\S\n]*\n)*")
# Zero-width joiner, variation selectors, skin tones: they belong to the character before them.
_JOINING = {"\u200d", *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0x1F3FB, 0x1F400))}
_NAMESPACE = uuid.UUID("6f70656e-626f-5f6f-8b00-706173736167")


@dataclass(frozen=True, slots=True)
class Tile:
    """Characters ``[start, end)`` of the text, all within ``region``."""

    start: int
    end: int
    region: Region


def max_characters_for(embedder_max_tokens: int) -> int:
    """The tile size, in characters, that an embedder with this window sees whole, with its header.

    English prose has about four characters a token; 30 tokens are kept for title and section.
    """
    return max(100, (embedder_max_tokens - 30) * 4)


def passages(
    parsed: Parsed,
    document_id: str,
    revision: str,
    counts: Callable[[Sequence[str]], list[int]],
    max_characters: int,
    sentences: Splitter | None = None,
) -> list[Passage]:
    """The document's passages, tiled as by `tile`; the rest is as for `from_tiles`."""
    tiles = list(tile(parsed, max_characters, sentences))
    return from_tiles(parsed, tiles, document_id, revision, counts)


def from_tiles(
    parsed: Parsed,
    tiles: Sequence[Tile],
    document_id: str,
    revision: str,
    counts: Callable[[Sequence[str]], list[int]],
) -> list[Passage]:
    """The document's passages, with tokens as ``counts`` says. ``"".join(p.text for p in passages)`` is
    ``parsed.text``. Ids depend on document, revision and ordinal only."""
    texts = [parsed.text[tile.start : tile.end] for tile in tiles]
    made, line = [], 1
    for ordinal, (each, text, tokens) in enumerate(zip(tiles, texts, counts(texts), strict=True)):
        made.append(
            Passage(
                id=str(uuid.uuid5(_NAMESPACE, f"{document_id}\n{revision}\n{ordinal}")),
                document_id=document_id,
                revision=revision,
                ordinal=ordinal,
                start=each.start,
                line=line,
                text=text,
                tokens=tokens,
                section=each.region.section,
                page=each.region.page,
                sheet=each.region.sheet,
                ocr=each.region.ocr,
                about=each.region.about if each.start > each.region.start else "",
                doc=each.region.doc if each.start == each.region.start else "",
            )
        )
        line += text.count("\n")
    return made


def tile(parsed: Parsed, max_characters: int, sentences: Splitter | None = None) -> Iterator[Tile]:
    """Tiles of 1 to ``max_characters`` characters in order; together exactly the text, none across regions.

    Cut after blank lines by preference, then line ends, sentences, words, and last within a word.
    Paragraphs are merged up to the limit. ``sentences`` splits one text into all its characters; it defaults
    to Punkt, and is called only where line ends do not suffice.
    """
    if max_characters < 1:
        raise ValueError(f"max_characters must be positive, got {max_characters}")
    tiler = _Tiler(max_characters, sentences or punkt_sentences)
    ends = [region.start for region in parsed.regions[1:]] + [len(parsed.text)]
    for region, end in zip(parsed.regions, ends, strict=bool(parsed.regions)):
        start = region.start
        for piece in tiler.tiles(parsed.text[start:end]):
            yield Tile(start, start + len(piece), region)
            start += len(piece)


class _Tiler:
    def __init__(self, limit: int, sentences: Splitter) -> None:
        self._limit = limit
        self._small = int(limit * _SMALL)
        # From coarse to fine; each keeps every character of what it splits.
        self._splitters: tuple[Splitter, ...] = (
            _paragraphs,
            _stops,
            _lines,
            partial(_prose, sentences),
            self._words,
        )

    def tiles(self, text: str) -> list[str]:
        tiles: list[str] = []
        waiting = deque([(text, 0)])  # a piece and how often it was split: an index into the splitters
        pieces: list[str] = []
        size = 0
        while waiting:
            piece, depth = waiting.popleft()
            if size + len(piece) <= self._limit:
                pieces.append(piece)
                size += len(piece)
            elif depth < len(self._splitters) and (len(piece) > self._limit or 0 < size < self._small):
                # The second case: a short heading takes the beginning of a paragraph that is too long to
                # stand whole beneath it, rather than stand alone.
                parts = self._splitters[depth](piece)
                waiting.extendleft((part, depth + 1) for part in reversed(parts))
            else:
                tiles.append("".join(pieces))
                pieces, size = [piece], len(piece)
        tiles.append("".join(pieces))
        if len(tiles) > 1 and len(tiles[-1]) < self._small:
            tiles[-2:] = self._even(tiles[-2], tiles[-1])
        return tiles

    def _even(self, left: str, right: str) -> list[str]:
        """Two tiles with a remnant on the right, cut anew as near to the middle as the coarsest cut that
        leaves no remnant allows."""
        both = left + right
        least = max(self._small, len(both) - self._limit)
        for split in self._splitters[:-1]:
            cuts = list(accumulate(map(len, split(both))))
            fair = [cut for cut in cuts if least <= cut <= len(both) - least]
            if fair:
                cut = min(fair, key=lambda cut: abs(2 * cut - len(both)))
                return [both[:cut], both[cut:]]
        return [left, right]

    def _words(self, text: str) -> list[str]:
        """Pieces as long as the limit allows, cut before a word where there is one."""
        pieces, start = [], 0
        while len(text) - start > self._limit:
            end = start + self._limit
            cut = end
            while cut > start and not (text[cut - 1].isspace() and not text[cut].isspace()):
                cut -= 1
            cut = cut if cut > start else _whole_character(text, start, end)
            pieces.append(text[start:cut])
            start = cut
        return [*pieces, text[start:]]


def _paragraphs(text: str) -> list[str]:
    return _cut(text, _PARAGRAPH_END)


def _stops(text: str) -> list[str]:
    return _cut(text, _STOP_END)


def _lines(text: str) -> list[str]:
    return _cut(text, _LINE_END)


def _prose(sentences: Splitter, text: str) -> list[str]:
    if len(text) > _MAX_PROSE:
        return [text]
    parts = sentences(text)
    # Sentence tokenizers drop blanks above the first sentence.
    lead = len(text) - sum(map(len, parts))
    if parts and lead > 0:
        parts = [text[:lead] + parts[0], *parts[1:]]
    return parts if "".join(parts) == text else [text]


def punkt_sentences(text: str) -> list[str]:
    return _punkt()(text)


@cache
def _punkt() -> Splitter:
    with _unrun("nltk", "nltk.tokenize"):
        from nltk.tokenize.punkt import PunktSentenceTokenizer
    tokenizer = PunktSentenceTokenizer()  # untrained: it needs no data

    def split(text: str) -> list[str]:
        starts = [start for start, _ in tokenizer.span_tokenize(text)]
        return [text[start:end] for start, end in pairwise([*starts, len(text)])]

    return split


@contextmanager
def _unrun(*packages: str) -> Iterator[None]:
    """As if the ``__init__`` of these packages were empty. NLTK's imports all of NLTK, and where they are installed
    SciPy, pandas and scikit-learn: seconds and 130 MB in each worker."""
    before = set(sys.modules)
    try:
        for name in packages:
            if name not in before and (spec := find_spec(name)):
                sys.modules[name] = module_from_spec(spec)
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.startswith(packages):  # else the next import of the package would lack them
                del sys.modules[name]


def _cut(text: str, ends: re.Pattern[str]) -> list[str]:
    cuts = [0, *(match.end() for match in ends.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if end > start]


def _whole_character(text: str, start: int, end: int) -> int:
    """``end``, or a little before it where it would part a letter from its accents or an emoji's halves."""
    for cut in range(end, max(start, end - _MAX_CLUSTER), -1):
        if not (unicodedata.combining(text[cut]) or text[cut] in _JOINING or text[cut - 1] == "\u200d"):
            return cut
    return end
