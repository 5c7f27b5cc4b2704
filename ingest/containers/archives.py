"""ZIP, TAR and compressed files, read from front to back with the standard library."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Self, cast

from ingest.containers.taker import Damaged, Full, Readable, Taker
from rag.errors import SourceCorrupt

# What zipfile, tarfile and the decompressors raise for damaged data; bz2 and gzip raise plain OSErrors.
_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
)
_UTF8_FLAG, _ENCRYPTED = 0x800, 0x1
# APPNOTE.TXT 4.6.9: the Info-ZIP Unicode Path Extra Field.
_UNICODE_PATH = 0x7075
_KANA = re.compile("[\u3041-\u30fe]")
# Endings that a compressed file's name loses; what was .tgz within is a .tar.
_PACKED = {".gz": "", ".bz2": "", ".xz": "", ".tgz": ".tar", ".tbz2": ".tar", ".txz": ".tar"}


def unpack_zip(path: Path, taker: Taker) -> None:
    """Raises SourceCorrupt without a readable directory, which stands at a ZIP file's end."""
    with _opening(taker), zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        for number, entry in enumerate(entries):
            name = _zip_name(entry)
            try:
                _take_entry(archive, entry, name, taker)
            except Full as exc:
                taker.refuse_rest(name, str(exc), len(entries) - number - 1)
                return


def _take_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, taker: Taker) -> None:
    mode = entry.external_attr >> 16
    if entry.flag_bits & _ENCRYPTED:
        taker.refuse(name, "encrypted: unpack it with its password")
    elif stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        taker.refuse(name, "a link" if stat.S_ISLNK(mode) else "not a regular file")
    else:
        with closing(_Checked(lambda: archive.open(entry))) as file:
            taker.take(name, file, entry.file_size)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name as its writer meant it. zipfile reads one without the UTF-8 flag as code page 437."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.orig_filename
    extra = entry.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == _UNICODE_PATH and length > 5:
            return extra[9 : 4 + length].decode("utf-8", "replace")
        extra = extra[4 + length :]
    return _decoded(entry.orig_filename.encode("cp437", "replace"), "cp437")


def _decoded(raw: bytes, otherwise: str) -> str:
    """A name says too little to guess more than this: UTF-8, Shift JIS where kana come out, else the format's."""
    for encoding in ("utf-8", "cp932"):
        try:
            name = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or _KANA.search(name):
            return name
    return raw.decode(otherwise, "replace")


def unpack_tar(path: Path, taker: Taker) -> None:
    """Raises SourceCorrupt where no archive begins. One that breaks off gives what stands before that."""
    with path.open("rb") as file, _opening(taker):
        _take_tar(file, taker)


def unpack_compressed(path: Path, taker: Taker) -> None:
    """gzip, bzip2 or xz: of a TAR, or of one file, which is then called as ``path`` without its ending."""
    with _opening(taker), _decompressed(path) as file:
        head = file.read(tarfile.BLOCKSIZE)
    is_tar = len(head) == tarfile.BLOCKSIZE and _is_tar_header(head)
    with _opening(taker), _decompressed(path) as file:
        if is_tar:
            _take_tar(_Bounded(file, taker), taker)
        else:
            _take_single(file, taker)


def _take_single(file: IO[bytes], taker: Taker) -> None:
    base = PurePosixPath(taker.container)
    name = base.stem + _PACKED.get(base.suffix.lower(), "")
    try:
        taker.take(name, _Checked(lambda: file))
    except Full as exc:
        taker.refuse(name, str(exc))


def _is_tar_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _take_tar(file: Readable, taker: Taker) -> None:
    before, at = "", ""
    try:
        # A stream is never read twice, and a member's size is believed only as far as there are bytes.
        stream = cast("IO[bytes]", file)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member, errorlevel=2) as archive:
            for member in archive:
                before, at = at, _decoded(member.name.encode("utf-8", "surrogateescape"), "cp1252")
                _take_member(archive, member, at, taker)
                before, at = at, ""
                # The list of all members would grow without bound.
                archive.members = []  # type: ignore[attr-defined]
    except Full as exc:
        taker.refuse_rest(at, str(exc))
    except _ERRORS as exc:
        if not (before or at):
            raise
        taker.refuse_rest(
            at or f"(after {before})", f"the archive breaks off here or is damaged ({_said(exc)})"
        )


class _Member(tarfile.TarInfo):
    """tarfile takes a broken header for the archive's end and says nothing."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as exc:
            if type(exc).__name__ == "EOFHeaderError":  # the mark at the end
                raise
            raise tarfile.ReadError(str(exc)) from exc


def _take_member(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, taker: Taker) -> None:
    if member.isdir():
        return
    if member.issym():
        taker.refuse(name, f"a link to {member.linkname}")
    elif member.islnk():
        taker.refuse(name, f"the same file as {member.linkname}")
    elif not member.isreg():
        taker.refuse(name, "not a regular file")
    else:
        # Not through _Checked: damage to a stream is damage to all after it.
        taker.take(name, cast("IO[bytes]", archive.extractfile(member)), member.size)


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        magic = raw.read(6)
    opener: Callable[[Path], object] = gzip.open
    if magic.startswith(b"BZh"):
        opener = bz2.open
    elif magic == b"\xfd7zXZ\0":
        opener = lzma.open
    with cast("IO[bytes]", opener(path)) as file:
        yield file


class _Checked:
    """A file within an archive; its errors are Damaged. Opened at the first read."""

    def __init__(self, open_file: Callable[[], IO[bytes]]) -> None:
        self._open_file = open_file
        self._file: IO[bytes] | None = None

    def read(self, size: int, /) -> bytes:
        try:
            if self._file is None:
                self._file = self._open_file()
            return self._file.read(size)
        except (*_ERRORS, NotImplementedError, RuntimeError) as exc:
            raise Damaged(f"damaged, or packed in an unknown way ({_said(exc)})") from exc

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Bounded:
    """A decompressed stream that ends with Full where more comes out than may be taken, skipped parts included."""

    def __init__(self, file: IO[bytes], taker: Taker) -> None:
        self._file, self._taker = file, taker

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._taker.passed += len(data)
        if self._taker.passed > self._taker.bound:
            raise Full(self._taker.too_much)
        return data


@contextmanager
def _opening(taker: Taker) -> Iterator[None]:
    try:
        yield
    except _ERRORS as exc:
        raise SourceCorrupt(
            f"{taker.container} cannot be opened as an archive ({_said(exc)}).",
            "Check that it was copied or downloaded whole.",
        ) from exc


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:120]}"
