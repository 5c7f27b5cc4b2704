"""The Dockerfile and what of the repository its build sees, read without Docker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """``name`` in upper case; of RUN each command is a step of its own."""

    name: str
    arguments: str


def steps(path: Path) -> list[Step]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    found = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            parts = rest.split("&&") if name.upper() == "RUN" else [rest]
            found += [Step(name.upper(), " ".join(part.split())) for part in parts]
    return found


def named(found: list[Step], name: str) -> list[str]:
    return [step.arguments for step in found if step.name == name]


def copied(found: list[Step]) -> list[str]:
    """What COPY takes from the repository."""
    return [source.rstrip("/") for arguments in named(found, "COPY") for source in arguments.split()[:-1]]


def environment(found: list[Step]) -> dict[str, str]:
    words = " ".join(named(found, "ENV")).split()
    return dict(word.split("=", 1) for word in words)


def command(found: list[Step]) -> list[str]:
    (told,) = named(found, "CMD")
    words: list[str] = json.loads(told)
    return words


def context(root: Path) -> Iterator[Path]:
    """Files that the build is sent, relative to ``root``: what .dockerignore leaves. The last line that matches a file
    or a folder above it decides."""
    rules = [line.strip() for line in (root / ".dockerignore").read_text().splitlines() if line.strip()]
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if inside.parts[0] in (".git", ".venv", ".venv-vllm", ".models"):
            continue
        if path.is_file() and not _ignored(inside, rules):
            yield inside


def _ignored(inside: Path, rules: list[str]) -> bool:
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!").rstrip("/")
        if any(_matches(each, pattern) for each in (inside, *inside.parents)):
            ignored = not rule.startswith("!")
    return ignored


def _matches(path: Path, pattern: str) -> bool:
    """A ``*`` goes no further than a ``/``; ``**/`` are any folders, or none."""
    if pattern.startswith("**/"):
        return fnmatchcase(path.name, pattern.removeprefix("**/"))
    parts = pattern.split("/")
    return len(parts) == len(path.parts) and all(map(fnmatchcase, path.parts, parts))
