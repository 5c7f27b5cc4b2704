"""What the Office formats share: OLE files that hold an encrypted one."""

from __future__ import annotations

from rag.errors import SourceCorrupt

COMPOUND_FILE = b"\xd0\xcf\x11\xe0"


def refuse_encrypted(data: bytes, name: str) -> None:
    """Raises SourceCorrupt for an Office file with a password: such a one is an OLE file, not a ZIP."""
    if data.startswith(COMPOUND_FILE) and "EncryptedPackage".encode("utf-16-le") in data:
        raise SourceCorrupt(
            f"{name} is encrypted and needs a password.", "Save a copy without the password and ingest that."
        )
