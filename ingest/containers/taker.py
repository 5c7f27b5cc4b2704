"""Takes files out of a container one by one, within limits, and keeps account of what was not taken."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from ingest.media_types import SNIFF, UNKNOWN, by_name, sniffed
from ingest.sources import MAX_BYTES, PRUNED

_CHUNK = 2**20
# So much may come out of any container, in bytes, before its ratio is looked at: some small files are just empty.
_RATIO_FROM = 16 * 2**20
_DRIVE = re.compile(r"^[A-Za-z]:(?=[/\\])")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# In characters; a file system takes no longer names either.
_MAX_NAME, _MAX_PATH = 255, 1024


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """For a file and all containers within it. ``total`` and ``each`` in bytes; ``ratio``: bytes that come out for each
    that goes in."""

    files: int = 100_000
    total: int = 2 * 2**30
    each: int = MAX_BYTES
    ratio: int = 200


@dataclass(frozen=True, slots=True)
class Budget:
    """What has come out of a file of ``packed`` bytes so far, at any depth: ``files``, and ``total`` bytes."""

    packed: int
    limits: UnpackLimits = UnpackLimits()
    files: int = 0
    total: int = 0

    def less(self, files: int, total: int) -> Budget:
        return replace(self, files=self.files + files, total=self.total + total)

    @property
    def full(self) -> str | None:
        """The limit that is reached, if one is."""
        if self.files >= self.limits.files:
            return f"at most {self.limits.files:,} files are taken out of one archive and those within it"
        left, told = self.bytes_left(self.packed)
        return told if left <= 0 else None

    def bytes_left(self, packed: int) -> tuple[int, str]:
        """For a container of ``packed`` bytes; and what is to be said of more."""
        times = (
            f"the archive unpacks to more than {self.limits.ratio} times its size, as none of documents does"
        )
        total = f"at most {self.limits.total:,} bytes are taken out of one archive and those within it"
        return min(
            (self.limits.total - self.total, total),
            (self._usual(self.packed) - self.total, times),
            (self._usual(packed), times),
        )

    def _usual(self, packed: int) -> int:
        return max(_RATIO_FROM, self.limits.ratio * packed)


@dataclass(frozen=True, slots=True)
class Inner:
    """``name`` is the path inside: parts between slashes, never absolute, without "..", unique in its container."""

    name: str
    path: Path
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """``name`` as in Inner, or as the container has it; with a slash at its end for all that is in a folder."""

    name: str
    reason: str


class Damaged(Exception):
    """The bytes of a file inside cannot be had; the message says why."""


class Full(Exception):
    """A limit for the whole container, or for that which it is in, is reached; the message says which."""


class Unwritable(Exception):
    """The disk takes no more; the cause is the OSError. (Those of reading mean a damaged archive.)"""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Taker:
    """``bound``: the bytes that may come out. ``passed``: those that had to be unpacked without being taken."""

    def __init__(self, container: str, into: Path, budget: Budget, packed: int) -> None:
        self.container = container
        self._budget, self._limits = budget, budget.limits
        self.bound, self.too_much = budget.bytes_left(packed)
        self.inner: list[Inner] = []
        self.refused: list[Refused] = []
        self._into = into
        self._total = self.passed = 0
        self._names: Counter[str] = Counter()
        self._folders: set[str] = set()

    @property
    def total(self) -> int:
        """Bytes that came out, those of files that were then refused included."""
        return max(self._total, self.passed)

    def refuse(self, name: str, reason: str) -> None:
        """Raises Full."""
        self._check_count()
        self._refuse(name, reason)

    def refuse_rest(self, name: str, reason: str, more: int | None = None) -> None:
        """``name`` is the first of the files that are not looked at; ``more`` counts those after it, None for
        a stream that is not read on."""
        after = "and all after it" if more is None else f"and {more:,} more"
        self._refuse(name if more == 0 else f"{name} {after}", reason)

    def take(self, name: str, file: Readable, size: int | None = None) -> None:
        """Writes one file, or refuses it. ``size`` is what the container says it has, in bytes.

        Reads of ``file`` may raise Damaged. Raises Full.
        """
        self._check_count()
        safe = _safe(name)
        if safe is None:
            self.refuse(name, "its name leads out of the archive")
        elif not self._is_left_out(safe):
            self._take(safe, file, size)

    def _check_count(self) -> None:
        if full := self._budget.less(len(self.inner) + len(self.refused), 0).full:
            raise Full(full)

    def _refuse(self, name: str, reason: str) -> None:
        self.refused.append(Refused(_UNPRINTABLE.sub("\ufffd", name), reason))

    def _take(self, name: str, file: Readable, size: int | None) -> None:
        if size is not None and size > self._limits.each:
            self.refuse(name, self._too_large())
            return
        try:
            head = file.read(SNIFF)
            media_type = by_name(name) or sniffed(head)
            if not head:
                self.refuse(name, "empty")
            elif media_type == UNKNOWN:
                suffix = PurePosixPath(name).suffix
                self.refuse(name, f"unknown type ({suffix or 'no extension, and not text'})")
            else:
                self._write(name, media_type, head, file)
        except Damaged as exc:
            self.refuse(name, str(exc))

    def _write(self, name: str, media_type: str, head: bytes, file: Readable) -> None:
        path = self._into / f"{len(self.inner) + 1:06d}"
        size = 0
        with _discarded_on_error(path), _writing(path) as write:
            chunk = head
            while chunk:
                size += len(chunk)
                self._total += len(chunk)
                if size > self._limits.each:
                    raise Damaged(self._too_large())
                if self._total > self.bound:
                    raise Full(self.too_much)
                write(chunk)
                chunk = file.read(_CHUNK)
        self.inner.append(Inner(self._unique(name), path, media_type, size))

    def _too_large(self) -> str:
        return f"too large (at most {self._limits.each:,} bytes are read)"

    def _is_left_out(self, name: str) -> bool:
        """As in the walk of a folder; one report for all that is in a folder."""
        parts = name.split("/")
        for index, part in enumerate(parts[:-1]):
            reason = "hidden" if part.startswith(".") else PRUNED.get(part)
            if reason:
                folder = "/".join(parts[: index + 1]) + "/"
                if folder not in self._folders:
                    self._folders.add(folder)
                    self.refuse(folder, reason)
                return True
        if parts[-1].startswith("."):
            self.refuse(name, "hidden")
        return parts[-1].startswith(".")

    def _unique(self, name: str) -> str:
        """A second file of the same name is as much a file as the first."""
        self._names[name] += 1
        if self._names[name] == 1:
            return name
        path = PurePosixPath(name)
        return self._unique(str(path.with_name(f"{path.stem} ({self._names[name]}){path.suffix}")))


def _safe(name: str) -> str | None:
    """``name`` below the archive's root; None where its ".." lead above that, or nothing is left of it."""
    parts: list[str] = []
    for part in _DRIVE.sub("", name).replace("\\", "/").split("/"):
        if part == ".." and not parts:
            return None
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(_shortened(_UNPRINTABLE.sub("\ufffd", part)))
    path = "/".join(parts)
    return path if path and len(path) <= _MAX_PATH else None


def _shortened(part: str) -> str:
    if len(part) <= _MAX_NAME:
        return part
    suffix = PurePosixPath(part).suffix[:20]
    return part[: _MAX_NAME - len(suffix)] + suffix


@contextmanager
def _discarded_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _writing(path: Path) -> Iterator[Callable[[bytes], None]]:
    try:
        out = path.open("xb", buffering=0)
    except OSError as exc:
        raise Unwritable from exc

    def write(chunk: bytes) -> None:
        try:
            rest = memoryview(chunk)
            while rest:
                rest = rest[out.write(rest) :]
        except OSError as exc:
            raise Unwritable from exc

    with out:
        yield write
