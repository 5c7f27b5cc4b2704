"""What a client may call a file that it sends: the name becomes a path in the data folder, so it is not trusted."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from rag.errors import BadFileName

MAX_PART_BYTES = 255  # what file systems take
MAX_NAME_BYTES = 1024
MAX_FOLDERS = 32

_CONTROLS = ("Cc", "Zl", "Zp")  # general categories: control characters, separators of lines and paragraphs
_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # make a name look like another


def file_name(sent: str) -> str:
    """The relative path of a file that was sent as ``sent``, folders kept, in NFC: the same name typed on different
    systems is one file. Raises BadFileName."""
    name = unicodedata.normalize("NFC", sent)
    if why := next(_objections(name), None):
        raise BadFileName.of(sent, why)
    return name


def _objections(name: str) -> Iterator[str]:
    if any(
        "\ud800" <= character <= "\udfff" for character in name
    ):  # what bytes become that are no character
        yield "it is not UTF-8"
    if not name.strip():
        yield "it is empty"
    if any(_is_control(character) for character in name):
        yield "it holds a control character"
    if "\\" in name:
        yield "it holds a backslash; folders are separated by /"
    if name.startswith("/"):
        yield "it is an absolute path"
    parts = name.split("/")
    if any(part.strip() in ("", ".", "..") for part in parts):
        yield "a part of it is empty, '.' or '..'"
    if len(parts) > MAX_FOLDERS + 1:
        yield f"it has more than {MAX_FOLDERS} folders"
    if len(name.encode()) > MAX_NAME_BYTES or any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        yield f"it is over {MAX_NAME_BYTES} bytes, or a part of it over {MAX_PART_BYTES}"


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROLS or unicodedata.bidirectional(character) in _DIRECTIONS
