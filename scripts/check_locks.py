"""Check that each package of the locks has a wheel where openbook is installed. Nothing is installed.

.venv/bin/python scripts/check_locks.py               asks the package index; exit code 1 where a wheel is missing
.venv/bin/python scripts/check_locks.py --resolve     first writes the locks of torch anew, when its version changes
.venv/bin/python scripts/check_locks.py --pip FILE    with the pip in this wheel: from 24.1 on it fetches no packages

The vLLM of a machine with a GPU comes as a container of its own, with everything that it needs (docker-compose.yml), so
there is no lock of it but the one of its CPU build.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
GLIBC = 36  # 2.36, of the image's Debian 12; DGX OS has a newer one
MACHINES = ("x86_64", "aarch64")
# Pure Python that comes as source alone: pip builds it on any machine.
SOURCE_ONLY = {"antlr4-python3-runtime": "4.9.3", "langdetect": "1.0.9"}
_MISSING = re.compile(r"No matching distribution found for ([\w.-]+)==")


@dataclass(frozen=True, slots=True)
class Target:
    """A lock on a machine that it is installed on."""

    lock: str
    machine: str


TARGETS = (
    *(Target("app", machine) for machine in MACHINES),
    *(Target(f"torch-{machine}-cuda", machine) for machine in MACHINES),
    Target("vllm", "x86_64"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """``wheels`` by package; ``missing`` have none for the machine; ``source`` have none at all, and are known."""

    wheels: dict[str, str]
    missing: tuple[str, ...]
    source: tuple[str, ...]


def pins(lock: Path, machine: str) -> dict[str, str]:
    """Package to version, of those that are for the machine."""
    environment = {"platform_machine": machine, "sys_platform": "linux", "platform_system": "Linux"}
    found: dict[str, str] = {}
    for line in lock.read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def torch_of(lock: Path) -> str:
    """``torch==VERSION``, which app.lock tells in a comment."""
    told = re.search(r"^# (torch==\S+)$", lock.read_text(), re.MULTILINE)
    if told is None:
        raise SystemExit(f"{lock} does not say which torch: a line '# torch==VERSION'.")
    return told[1]


class Pip:
    """Dry runs for another machine. The settings of this one's pip, such as other indexes, have no part in it."""

    def __init__(self, wheel: Path | None = None) -> None:
        self._program = [str(wheel / "pip")] if wheel else ["-m", "pip"]

    def planned(self, machine: str, *what: str) -> tuple[dict[str, str], str]:
        """Files that would be installed, by package, and pip's complaint where it fails."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            command = [
                *(sys.executable, *self._program, "install", "--dry-run", "--ignore-installed", "--quiet"),
                *("--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp"),
                *("--python-version=3.11", f"--target={folder}/target", f"--report={report}"),
                *(f"--platform={tag}_{machine}" for tag in platforms()),
                *what,
            ]
            environment = os.environ | {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode:
                return {}, done.stderr
            installed = json.loads(report.read_text())["install"]
        return {
            canonicalize_name(each["metadata"]["name"]): each["download_info"]["url"].rpartition("/")[2]
            for each in installed
        }, ""


def platforms() -> list[str]:
    """What a machine with this glibc installs, the newest first."""
    old = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    named = [(f"manylinux_2_{minor}", old.get(minor)) for minor in range(GLIBC, 4, -1)]
    return [tag for tags in named for tag in tags if tag] + ["linux"]


def check(target: Target, pip: Pip) -> Found:
    """Raises SystemExit where pip fails otherwise than for want of a wheel."""
    wanted = pins(LOCKS / f"{target.lock}.lock", target.machine)
    source = tuple(name for name, version in SOURCE_ONLY.items() if wanted.get(name) == version)
    left = {name: version for name, version in wanted.items() if name not in source}
    missing: list[str] = []
    while left:
        wheels, complaint = pip.planned(
            target.machine, "--no-deps", *(f"{name}=={version}" for name, version in left.items())
        )
        if not complaint:
            return Found(wheels, tuple(missing), source)
        lacking = _MISSING.search(complaint)
        if lacking is None or (name := canonicalize_name(lacking[1])) not in left:
            raise SystemExit(f"{target.lock} on {target.machine}: {complaint}")
        missing.append(f"{name}=={left.pop(name)}")
    return Found({}, tuple(missing), source)


def resolve(machine: str, pip: Pip) -> None:
    """Writes the lock of what torch needs beside app.lock, which stays as it is."""
    app, torch = LOCKS / "app.lock", torch_of(LOCKS / "app.lock")
    found, complaint = pip.planned(machine, torch, f"--constraint={app}")
    if complaint:
        raise SystemExit(f"{torch} on {machine}: {complaint}")
    versions = {name: file.split("-")[1] for name, file in found.items() if name not in pins(app, machine)}
    lines = [f"{name}=={version}" for name, version in sorted(versions.items())]
    head = [
        f"# torch as the package index has it for {machine}, with CUDA, and what that build needs beside app.lock.",
        "# Written by scripts/check_locks.py --resolve.",
    ]
    (LOCKS / f"torch-{machine}-cuda.lock").write_text("\n".join([*head, *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Check the locks against the package index.")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--pip", type=Path, metavar="FILE")
    options = parser.parse_args()
    pip = Pip(options.pip)
    if options.resolve:
        for machine in MACHINES:
            resolve(machine, pip)
    failed = False
    for target in TARGETS:
        found = check(target, pip)
        failed = failed or bool(found.missing)
        told = f"{len(found.wheels)} wheels"
        if found.source:
            told += f", source only: {', '.join(found.source)}"
        if found.missing:
            told += f"; NO WHEEL: {', '.join(found.missing)}"
        print(f"{target.lock}.lock on {target.machine}: {told}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
