"""Which files of a code base an import means. Pure.

Languages name modules by dots, slashes or colons, from the file on or from a root that a code base need not say. A name
is taken for a file where it is all of what the file is called, or, but in Python, its end or its folder's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

Parts = tuple[str, ...]

_SEPARATOR = re.compile(r"::|[./\\]")
_INDEXES = {"__init__", "index", "mod"}  # a file of this name is what its folder is called
_ROOTED = {"crate", "@", "~"}  # from the root on
_WHOLE = {"python"}  # a module is named from its root on, or relatively
_FOLDER = 200  # files of a folder that an import may mean at most


class Module(NamedTuple):
    """A file: its path within the code base, and what its language calls it."""

    path: str
    name: str
    language: str


class Modules:
    """Files are named by their place in ``files``."""

    def __init__(self, files: Sequence[Module]) -> None:
        self._files = files
        self._paths = [_path(file.path) for file in files]
        self._packages = [_package(file) for file in files]
        self._named: dict[Parts, list[int]] = defaultdict(list)
        self._ending: dict[str, list[tuple[Parts, int]]] = defaultdict(list)
        self._folders: dict[str, dict[Parts, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, file in enumerate(files):
            self._named[_parts(file.name)].append(number)
            path = self._paths[number]
            self._ending[path[-1] if path else ""].append((path, number))
            folder = PurePosixPath(file.path).parent.parts
            if folder:
                self._folders[folder[-1]][folder].append(number)

    def meant(self, module: str, file: int) -> list[int]:
        """The files that ``module`` is when ``file`` imports it; none for what is not of this code base."""
        here = self._files[file]
        if module.startswith(("./", "../")):
            return self._at((*PurePosixPath(here.path).parent.parts, *module.split("/")))
        if module.startswith("."):
            return self._named.get(_relative(module, self._packages[file]), [])
        parts = _parts(module)
        if not parts or here.language in _WHOLE:
            return self._named.get(parts, [])
        if parts[0] in ("super", "self"):
            above = self._paths[file][:-1] if parts[0] == "super" else self._paths[file]
            return self._at((*above, *parts[1:]))
        return self._named.get(parts) or self._like(tuple(p for p in parts if p not in _ROOTED), file)

    def above(self, file: int, name: str) -> list[int]:
        """The files of a name in the folder of a file and in those around it, the nearest first."""
        folder = PurePosixPath(self._files[file].path).parent.parts
        return [n for upto in range(len(folder), -1, -1) for n in self._at((*folder[:upto], name))]

    def inside(self, file: int, name: str) -> list[int]:
        """The files that are ``name`` in a package."""
        return self._named.get((*_parts(self._files[file].name), name), [])

    def _at(self, steps: Sequence[str]) -> list[int]:
        path: list[str] = []
        for step in steps:
            if step == "..":
                del path[-1:]
            elif step not in ("", "."):
                path.append(step)
        wanted = _path("/".join(path))
        return [
            number for found, number in self._ending.get(wanted[-1] if wanted else "", ()) if found == wanted
        ]

    def _like(self, parts: Parts, file: int) -> list[int]:
        """By the end of a path, or of a folder's; the nearest where there are several."""
        if not parts:
            return []
        files = [(p, n) for p, n in self._ending.get(parts[-1], ()) if p[-len(parts) :] == parts]
        if files:
            near = self._paths[file]
            return [min(files, key=lambda each: (-_shared(each[0], near), len(each[0]), each[1]))[1]]
        for length in range(len(parts), min(2, len(parts)) - 1, -1):
            end = parts[-length:]
            for folder, numbers in self._folders.get(end[-1], {}).items():
                if folder[-length:] == end:
                    return numbers[:_FOLDER]
        return []


@lru_cache(maxsize=65_536)
def _parts(module: str) -> Parts:
    return tuple(part for part in _SEPARATOR.split(module) if part)


def _path(path: str) -> Parts:
    """Without the extension, and without a file's name that says nothing."""
    parts = PurePosixPath(path).with_suffix("").parts if path else ()
    return parts[:-1] if parts and parts[-1] in _INDEXES else parts


def _package(file: Module) -> Parts:
    """What one dot is in a file: the package that it is in, and in a package's own file that one."""
    parts = _parts(file.name)
    return parts if PurePosixPath(file.path).stem == "__init__" else parts[:-1]


@lru_cache(maxsize=65_536)
def _relative(module: str, package: Parts) -> Parts:
    """Each further dot is one package up."""
    name = module.lstrip(".")
    up = len(module) - len(name) - 1
    return (*package[: max(0, len(package) - up)], *_parts(name))


def _shared(one: Parts, other: Parts) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
