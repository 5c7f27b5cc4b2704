"""The distribution's packages have everyday names: they must come from here, wherever Python is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

NAMES = ("openbook", "rag", "ingest", "api", "evals")


@pytest.mark.process
@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_ours_from_a_foreign_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()  # -P, as PYTHONSAFEPATH=1, keeps a folder of that name out of the way
    (tmp_path / name / "__init__.py").touch()
    found = subprocess.run(
        [sys.executable, "-P", "-c", f"import {name}; print({name}.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    # The repository's own file: not a copy that an edit would leave behind.
    assert Path(found.stdout.strip()) == ROOT / name / "__init__.py"


def test_tests_are_flat_and_no_package() -> None:
    folders = [
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"
    ]
    assert not [name for name in folders if name in NAMES]
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_files_stay_small() -> None:
    """A file that has grown past this wants to be two."""
    long = {
        str(path.relative_to(ROOT)): lines
        for name in NAMES
        for path in (ROOT / name).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 350
    }
    assert long == {}
