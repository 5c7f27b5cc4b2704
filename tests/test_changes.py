"""A changed file is found as a walk of its folder finds it: the same names, the same things left out."""

from __future__ import annotations

from pathlib import Path

from ingest.changes import find_changed
from ingest.sources import find

NAMES = (
    "a.md",
    "deep/b.txt",
    ".hidden.md",
    ".git/config.txt",
    "deep/node_modules/x/c.js",
    "venv/pyvenv.cfg",
    "venv/lib/d.py",
    "picture.bin",
)


def filled(root: Path) -> Path:
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\x00\xff" if name.endswith(".bin") else b"words\n")
    return root


def test_all_files_changed_are_what_a_walk_finds(tmp_path: Path) -> None:
    root = filled(tmp_path / "watched")
    changed = find_changed([root / name for name in NAMES], [root])
    walked = find([root])
    assert set(changed.sources) == set(walked.sources)
    assert [source.name for source in changed.sources] == ["watched/a.md", "watched/deep/b.txt"]
    assert {skipped.name for skipped in changed.skipped} == {"watched/.hidden.md", "watched/picture.bin"}


def test_a_folder_that_was_moved_here_changes_as_one(tmp_path: Path) -> None:
    root = filled(tmp_path / "watched")
    found = find_changed([root / "deep"], [root])
    assert [source.name for source in found.sources] == ["watched/deep/b.txt"]
    assert find_changed([root / ".git"], [root]).sources == ()


def test_what_is_gone_or_elsewhere_is_left_out(tmp_path: Path) -> None:
    root = filled(tmp_path / "watched")
    (tmp_path / "watched-2.txt").write_text("x")
    (root / "a.md").unlink()
    assert find_changed([root / "a.md", tmp_path / "watched-2.txt"], [root]).sources == ()


def test_a_file_that_is_watched_itself(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("x")
    found = find_changed([tmp_path / "one.txt"], [tmp_path / "one.txt"])
    assert [source.name for source in found.sources] == ["one.txt"]


def test_explicit_ones_are_taken_as_if_each_had_been_named(tmp_path: Path) -> None:
    root = filled(tmp_path / "watched")
    elsewhere = filled(tmp_path / "elsewhere")
    changed = [*(root / name for name in NAMES), elsewhere / "a.md", root / "gone.md"]
    found = find_changed(changed, [root], explicit=True)
    assert {source.name for source in found.sources} == {f"watched/{name}" for name in NAMES}
    assert all(source.explicit for source in found.sources)
    assert found.skipped == ()
