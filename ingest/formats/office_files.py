"""What the Office formats share: OLE compound files, which the old ones are and the encrypted ones are packed in."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rag.errors import SourceCorrupt

COMPOUND_FILE = b"\xd0\xcf\x11\xe0"


def refuse_encrypted(data: bytes, name: str) -> None:
    """Raises SourceCorrupt for an Office file with a password: such a one is an OLE file, not a ZIP."""
    if data.startswith(COMPOUND_FILE) and "EncryptedPackage".encode("utf-16-le") in data:
        raise SourceCorrupt(
            f"{name} is encrypted and needs a password.", "Save a copy without the password and ingest that."
        )


def refuse_endless(data: bytes, name: str) -> None:
    """Raises SourceCorrupt for an OLE file that is damaged so that one of its streams has no end: readers in Rust
    follow it until the memory is full. [MS-CFB] 2.3: a table says for each sector which one is next."""
    if not data.startswith(COMPOUND_FILE):
        return
    import olefile  # type: ignore[import-untyped]

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as file:
            file.loadminifat()
            endless = has_cycle(file.fat) or has_cycle(file.minifat)
    except Exception as exc:
        # olefile lets errors of struct and its own pass.
        raise _damaged(name, str(exc)) from exc
    if endless:
        raise _damaged(name, "a stream without an end")


def is_panic(error: BaseException) -> bool:
    """Whether code in Rust gave up: its error is no Exception, so that nobody takes it for one."""
    return type(error).__name__ == "PanicException"


def _damaged(name: str, said: str) -> SourceCorrupt:
    return SourceCorrupt(
        f"{name} is damaged ({said[:200]}).",
        "Open it in the program that it comes from; if that works, save it again.",
    )


def has_cycle(following: Sequence[int]) -> bool:
    """Whether following the numbers from any index comes back to an index that was passed."""
    seen = bytearray(len(following))  # 1: on the way that is being followed, 2: leads to an end
    for start in range(len(following)):
        way, index = [], start
        while index < len(following) and not seen[index]:
            seen[index] = 1
            way.append(index)
            index = following[index]
        if index < len(following) and seen[index] == 1:
            return True
        for passed in way:
            seen[passed] = 2
    return False
