"""Plain text and source code: the file's own characters, so that lines and offsets are the file's."""

from __future__ import annotations

import codecs
import re

from ingest.parsed import Parsed, Region
from rag.errors import SourceCorrupt, SourceUnsupported

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# So many characters beyond ASCII for each broken one make a text UTF-8.
_MOSTLY = 10


_SPACES = str.maketrans({"\u00a0": " ", "\u200b": None, "\ufeff": None, "\r": "\n", "\x0b": "\n", "\f": "\n"})
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\ud800-\udfff]")


def parse_plain(data: bytes, name: str) -> Parsed:
    text = decode(data, name)
    return Parsed(text, name, (Region(0),) if text else ())


def decode(data: bytes, name: str, declared: str | None = None) -> str:
    """Text with ``\\n`` line ends, without a byte order mark.

    Tried in this order: the byte order mark, ``declared`` (an encoding that the file names itself), UTF-8,
    a guess. Raises SourceCorrupt where none fits, SourceUnsupported for binary data.
    """
    text = _marked(data, name)
    if text is None:
        text = _try(data, declared) if declared else None
    if text is None:
        text = _try(data, "utf-8")
    if text is None:
        text = _guess(data, name)
    if "\0" in text:
        raise SourceUnsupported(
            f"{name} holds binary data, not text.",
            "If it is a document, give it the extension of its format.",
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _marked(data: bytes, name: str) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as exc:
                raise SourceCorrupt(
                    f"{name} begins as {encoding} and breaks at byte {exc.start:,}.",
                    "Save it again as UTF-8.",
                ) from exc
    return None


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _guess(data: bytes, name: str) -> str:
    # Without this check a program or an image is "guessed" to be some rare single-byte encoding. UTF-16
    # without a mark is the one text that has NUL bytes: every second one, on one side.
    if b"\0" in data:
        for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[0::2])):
            text = _try(data, encoding) if zeros.count(0) > 0.4 * len(zeros) else None
            if text is not None:
                return text
        raise SourceUnsupported(
            f"{name} holds binary data, not text.",
            "If it is a document, give it the extension of its format.",
        )
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    if sum(character > "\x7f" for character in text) > _MOSTLY * bad:
        # UTF-8 with a few broken bytes; in any other encoding all the good ones would come out wrong.
        return text
    import charset_normalizer  # 3 MB that most workers never need

    best = charset_normalizer.from_bytes(data).best()
    if best is None:
        raise SourceCorrupt(f"{name} is text in no encoding that could be told.", "Save it again as UTF-8.")
    return str(best)


def clean(text: str, joint: str = "\n") -> str:
    """``text`` without odd spaces and control characters; ``joint`` stands for its line breaks."""
    lines = _CONTROLS.sub("", text.translate(_SPACES)).split("\n")
    lines = [line.rstrip() if joint == "\n" else " ".join(line.split()) for line in lines]
    return joint.join(line for line in lines if line or joint == "\n").strip(joint)
