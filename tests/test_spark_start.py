"""scripts/spark.sh with a docker that writes down what it is asked."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.process

DOCKER = """#!/bin/sh
echo "$*" >>"$ASKED"
case "$*" in
  "compose version" | info) [ -z "$BROKEN" ] || exit 1 ;;
  *"keys list --json") cat "$KEYS" ;;
  *"keys add me") echo openbook_0123_secret ;;
esac
"""


class Machine:
    """A folder with the script, and programs of its own before those of the system."""

    def __init__(self, place: Path) -> None:
        self.root, self.asked, self.keys = place / "root", place / "asked", place / "keys.json"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "spark.sh", self.root / "scripts")
        self.programs = place / "bin"
        self.programs.mkdir()
        (self.programs / "docker").write_text(DOCKER)
        (self.programs / "docker").chmod(0o755)
        self.keys.write_text("[]")

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.asked.write_text("")
        told = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "ASKED": str(self.asked),
            "KEYS": str(self.keys),
        }
        return subprocess.run(
            ["bash", self.root / "scripts" / "spark.sh"],
            env=told | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_from_nothing(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 0, done.stderr
    env = machine.root / ".env"
    name, key = env.read_text().strip().split("=")
    assert (name, len(key)) == ("QDRANT_API_KEY", 64)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert key not in done.stdout + done.stderr
    once = "compose run --rm --no-deps -T openbook openbook"
    assert machine.asked.read_text().splitlines() == [
        "compose version",
        "info",
        "compose build openbook",
        f"{once} keys list --json",
        f"{once} keys add me",
        "compose up -d --wait",
    ]
    assert "openbook_0123_secret" in done.stdout


def test_a_second_run_changes_nothing_that_is_there(machine: Machine) -> None:
    machine.run()
    before = (machine.root / ".env").read_text()
    machine.keys.write_text('[{"name": "me", "state": "valid"}]')
    assert machine.run().returncode == 0
    assert (machine.root / ".env").read_text() == before
    assert "keys add" not in machine.asked.read_text()


def test_what_env_says_already_stays(machine: Machine) -> None:
    (machine.root / ".env").write_text("QDRANT_API_KEY=\nMODEL=a/b")  # without the end of its line
    machine.run()
    lines = (machine.root / ".env").read_text().splitlines()
    assert lines[:2] == ["QDRANT_API_KEY=", "MODEL=a/b"]
    assert len(lines[2]) == len("QDRANT_API_KEY=") + 64


def test_a_docker_that_does_not_answer_is_told_of(machine: Machine) -> None:
    done = machine.run(BROKEN="1")
    assert done.returncode == 1
    assert "docker compose is missing" in done.stderr
    assert not (machine.root / ".env").exists()
