"""Small pure functions over text that several stages share: labels, sentences, words."""

from __future__ import annotations

import re
import unicodedata

from rag.types import Document, Span

# A sentence ends at . ! ? (and closing quotes, brackets or emphasis) before white space and something that can
# begin one. A line break ends it too, since tables, lists and code are read line by line, but not where prose was
# wrapped: after a long line of words that breaks off before a small letter, or at a comma or a word like "the".
_BOUNDARY = re.compile(r"""(?<=[.!?…])["'”’»)\]*_`]*\s+|(?<=[。！？।؟])["'”’»）」』]*|\n+""")
_OPENING = re.compile(r"""["'“‘«(\[*_`]*""")
_LONGEST_ABBREVIATION = 12
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:(?:[A-Z]\.)*[A-Z]|e\.g|i\.e|etc|vs|cf|approx|Dr|Mr|Mrs|Ms|Prof|St|Fig|Eq|Sec|p|pp)\.$"
)
_BEFORE_NUMBER = re.compile(r"(?:^|[\s(])(?:No|Nos|Nr)\.$")  # "No." alone is an answer
_SHORTEST_WRAPPED, _LONGEST_LINE = 40, 400
_NO_PROSE = re.compile(r"[=;{}<>|\\\t]|\S {2,}\S")
_BREAKS_OFF = re.compile(
    r"(?:,|[^\W\d_]-|\b(?:a|an|and|as|at|by|for|from|in|is|are|was|were|of|on|or|our|that|the|their|to|which|with))\Z"
)
_LIST_NUMBER = re.compile(r"\W*(?:\d{1,3}|[a-z])\.")

# A minus is a sign where no word or number stands right before it: -20, but E-4711, 3-5.
_NUMBER = r"(?:(?<![^\s(\[|=:<>])[-−–])?\d+(?:[.,:/–-]\d+)*(?:[ \u00a0\u202f]?%)?"
_WORD = re.compile(rf"[^\W\d_](?:[\w']*[^\W_])?|{_NUMBER}")
# The same words of ASCII, in half the time.
_ASCII_WORD = re.compile(rf"[A-Za-z][A-Za-z0-9]*+(?:['_]++[A-Za-z0-9]++)*+|{_NUMBER}", re.A)
# What PDFs and word processors put into words: soft hyphens, zero-width spaces, ligatures, curly apostrophes.
_ALIKE = (
    {"\u00ad": "", "\u200b": "", "’": "'", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"}
    # Full-width letters and digits, Arabic-Indic and Persian digits.
    | {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {chr(zero + digit): str(digit) for zero in (0x660, 0x6F0) for digit in range(10)}
)
# Of ASCII, in bytes: what words are made of, a nought for each digit, and blanks.
_LETTERS = bytes(
    ord("0") if chr(code).isdigit() else code if chr(code).isalpha() or chr(code) in "'_" else ord(" ")
    for code in range(128)
).ljust(256)
_IN_NUMBER = str.maketrans({"−": "-", "–": "-", " ": "", "\u00a0": "", "\u202f": ""})


def label(document: Document) -> str:
    """File name and title, said once where one holds the other: ``samples/manual.pdf: Heron H2 Manual``."""
    if document.name in document.title:
        return document.title
    return document.name if document.title in document.name else f"{document.name}: {document.title}"


def is_unicode(text: str) -> bool:
    """False for half a surrogate pair, which JSON may hold and UTF-8 cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def sentences(text: str) -> list[Span]:
    """Spans of the sentences and lines of ``text``, without surrounding white space; empty ones are left out."""
    spans, start = [], 0
    for match in _BOUNDARY.finditer(text):
        if _goes_on(text, start, match):
            continue
        spans.append(_trimmed(text, start, match.end()))
        start = match.end()
    spans.append(_trimmed(text, start, len(text)))
    return [span for span in spans if span.end > span.start]


def _goes_on(text: str, start: int, boundary: re.Match[str]) -> bool:
    """Whether the sentence that began at ``start`` goes on after what looks like its end."""
    stop, end = boundary.span()
    if boundary.group() == "\n":
        return _is_wrapped(text, stop)
    if "\n" in boundary.group() or not boundary.group()[-1:].isspace():
        return False
    opening = _OPENING.match(text, end)
    at = opening.end() if opening else end
    following = text[at : at + 1]
    if not following.isalnum() or following.islower():
        return True
    before = text[max(start, stop - _LONGEST_ABBREVIATION) : stop]
    if _ABBREVIATION.search(before) or (following.isdigit() and _BEFORE_NUMBER.search(before)):
        return True
    return stop - start <= _LONGEST_ABBREVIATION and _LIST_NUMBER.fullmatch(before) is not None


def _is_wrapped(text: str, stop: int) -> bool:
    """Whether the line that ends at ``stop`` is prose that goes on in the next one."""
    far = max(0, stop - _LONGEST_LINE)
    line = text[max(far, text.rfind("\n", far, stop) + 1) : stop].rstrip()
    following = text[stop + 1 : stop + 2]
    if len(line) < _SHORTEST_WRAPPED or not following.isalnum() or _NO_PROSE.search(line):
        return False
    return following.islower() or _BREAKS_OFF.search(line) is not None


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)


def words(text: str) -> list[str]:
    """Lower-cased words and numbers; a number keeps its sign, decimal point, percent sign and inner dashes."""
    if text.isascii():
        return cased_words(text.lower())
    return [word.lower() for word in cased_words(text)]


def cased_words(text: str) -> list[str]:
    """As ``words``, with capitals. What looks alike is alike: composed accents, dashes, apostrophes, ligatures."""
    return _words(text if text.isascii() else _alike(unicodedata.normalize("NFC", text)))


def _alike(text: str) -> str:
    """Few signs of a text look like others, so to replace these is faster than to look at each."""
    for sign in _ALIKE.keys() & set(text):
        text = text.replace(sign, _ALIKE[sign])
    return text


def _words(text: str) -> list[str]:
    """The patterns are slow, so they get the sentences alone that hold more than words of ASCII: neither a word nor a
    number goes on behind a full stop and a blank."""
    if text.isascii() and b"0" not in (plain := text.encode().translate(_LETTERS)):
        found = plain.decode().split()
        bare = b"'" not in plain and b"_" not in plain
        return found if bare else [word for each in found if (word := each.strip("'_"))]
    first, *others = text.split(". ")
    if others:
        return [word for part in (first, *others) for word in _words(part)]
    if text.isascii() and "%" not in text:
        return _ASCII_WORD.findall(text)  # nothing in a number that _plain would change
    return [_plain(word) for word in (_ASCII_WORD if text.isascii() else _WORD).findall(text)]


def _plain(word: str) -> str:
    return word.translate(_IN_NUMBER) if word[-1] == "%" or not word[0].isalpha() else word


def repetition(text: str) -> int | None:
    """Where a text begins to go round in circles: the second start of a sentence that stands in it three
    times; None where it does not. List numbers in front make no difference, and code may repeat its lines."""
    starts: dict[str, list[int]] = {}
    in_code = False
    for span in sentences(text):
        if text.startswith("```", span.start):
            in_code = not in_code
        key = " ".join(words(text[span.start : span.end])).lstrip("0123456789 ")
        if len(key) >= 12 and not in_code:  # "yes" and "it is" may come again
            starts.setdefault(key, []).append(span.start)
    return min((found[1] for found in starts.values() if len(found) >= 3), default=None)


def told_seconds(seconds: float) -> str:
    """As people read them: 50 ms, 1.9 s."""
    return f"{seconds:,.1f} s" if seconds >= 0.9995 else f"{1000 * seconds:.0f} ms"
