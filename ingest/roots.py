"""Folders that somebody else than the owner may have read, and nothing outside them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.sources import Found, Skipped, Source
from rag.errors import PathNotAllowed

# What the kernel shows as files is no document, whatever the owner allowed.
KERNEL = (Path("/proc"), Path("/sys"))


@dataclass(frozen=True, slots=True)
class Roots:
    """``folders`` are resolved; none admits nothing."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, folders: Sequence[str] | None) -> Roots | None:
        """None where nothing is restricted."""
        return None if folders is None else cls(tuple(Path(os.path.realpath(folder)) for folder in folders))

    def check(self, path: Path) -> None:
        """Raises PathNotAllowed, which does not tell whether there is such a path outside."""
        if ".." in path.parts:
            raise PathNotAllowed.of(str(path), "it climbs with ..")
        if not self.folders:
            raise PathNotAllowed.of(str(path), "no folder is allowed")
        if not self.admits(real := Path(os.path.realpath(path))):
            by = "" if real == path else ", by a link"
            raise PathNotAllowed.of(str(path), f"it is outside the allowed folders{by}")
        if real.exists() and not (real.is_dir() or stat.S_ISREG(real.stat().st_mode)):
            raise PathNotAllowed.of(str(path), "it is a device, a pipe or a socket")

    def admits(self, real: Path) -> bool:
        """A path without links."""
        return _is_below(real, self.folders) and not _is_below(real, KERNEL)

    def admitted(self, found: Found) -> Found:
        """Without what links out of the folders."""
        inside: list[Source] = []
        skipped = list(found.skipped)
        for source in found.sources:
            if self._still_admits(source):
                inside.append(source)
            else:
                reason = "a link out of the allowed folders"
                skipped.append(Skipped(source.path, source.name, reason, source.explicit))
        return Found(tuple(inside), tuple(skipped))

    def _still_admits(self, source: Source) -> bool:
        """Resolved once more: a folder on its path may have become a link since it was found."""
        return self.admits(Path(os.path.realpath(source.path)))


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
