"""RTF's characters as Unicode: pandoc takes every byte for Western European, whatever the file says."""

from __future__ import annotations

import codecs
import re

_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_NO_SUBSTITUTE = re.compile(rb"\\uc0(?!\d)")
# An escaped backslash is passed over; a run of bytes, escaped or bare, is decoded together: some take two bytes.
_BYTES = re.compile(rb"\\\\|(?:\\'[0-9A-Fa-f]{2}|[\x80-\xff])+")
_BYTE = re.compile(rb"\\'([0-9A-Fa-f]{2})|([\x80-\xff])")
# Where the file says so, in its first bytes.
_HEAD = 4096


def in_unicode(data: bytes) -> bytes:
    """The file with its bytes above ASCII as ``\\u`` escapes. RTF 1.9.1, "Unicode RTF" and "Character Set"."""
    found = _CODE_PAGE.search(data, 0, _HEAD)
    encoding = _encoding(int(found.group(1))) if found else "cp1252"
    # A reader that knows the escape skips so many substitutes after it: one, unless the file says none.
    # The blank ends the escape; without it pandoc takes the one after the substitute for that.
    substitute = b" " if _NO_SUBSTITUTE.search(data, 0, _HEAD) else b" ?"
    return _BYTES.sub(lambda run: _escaped(run.group(), encoding, substitute), data)


def _encoding(code_page: int) -> str:
    try:
        return codecs.lookup("utf-8" if code_page == 65001 else f"cp{code_page}").name
    except LookupError:
        return "cp1252"


def _escaped(run: bytes, encoding: str, substitute: bytes) -> bytes:
    if run == b"\\\\":
        return run
    raw = b"".join(bytes.fromhex(code.decode()) if code else bare for code, bare in _BYTE.findall(run))
    units = memoryview(raw.decode(encoding, "replace").encode("utf-16-le")).cast("H")
    return b"".join(b"\\u%d%b" % (unit - 65536 if unit > 32767 else unit, substitute) for unit in units)
