"""A short form of benchmarks/load.py: many questions at once beside uploads, without an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.process


def test_many_questions_beside_an_upload_fail_in_nothing(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    sizes = ("--clients", "20", "--seconds", "5", "--upload-mb", "8", "--files", "5")
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "load.py"), *sizes, "--json", str(figures)],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(figures.read_text())
    assert told["failed"] == {}
    assert told["questions"] >= 20
    assert told["uploads"] >= 1
