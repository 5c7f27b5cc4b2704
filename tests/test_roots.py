"""What may be read on behalf of somebody else than the owner: what is in the allowed folders, and nothing outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fake_engine import fake_engine
from ingest.report import Report
from ingest.roots import Roots
from ingest.run import Run, begin
from ingest.sources import find
from rag.errors import BadSetting, PathNotAllowed
from rag.settings import load_settings


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An allowed folder with links out of it, beside another folder."""
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    (allowed / "sub").mkdir(parents=True)
    other.mkdir()
    (allowed / "a.md").write_text("# Allowed\n\nThe battery lasts 400 days.\n")
    (other / "secret.md").write_text("# Secret\n\nThe password is swordfish.\n")
    (allowed / "sub" / "link.md").symlink_to(other / "secret.md")
    (allowed / "folder").symlink_to(other)
    (allowed / "inside.md").symlink_to(allowed / "a.md")
    os.mkfifo(allowed / "pipe")
    return allowed


def roots(*folders: Path) -> Roots:
    made = Roots.of([str(folder) for folder in folders])
    assert made is not None
    return made


def test_what_is_inside_is_allowed(tree: Path) -> None:
    for path in (tree, tree / "a.md", tree / "sub", tree / "inside.md", tree / "not there"):
        roots(tree).check(path)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("../other", "climbs with .."),
        ("sub/../a.md", "climbs with .."),
        ("sub/link.md", "by a link"),
        ("folder/secret.md", "by a link"),
        ("folder", "by a link"),
        ("pipe", "a pipe"),
    ],
)
def test_ways_out_are_refused(tree: Path, path: str, told: str) -> None:
    with pytest.raises(PathNotAllowed, match=told) as refused:
        roots(tree).check(Path(f"{tree}/{path}"))
    assert "OPENBOOK_ROOTS" in refused.value.hint


def test_outside_nothing_is_told_of_what_is_there(tree: Path) -> None:
    told = set()
    for path in (
        tree.parent / "other",
        tree.parent / "not there",
        Path("/etc/passwd"),
        Path(f"{tree}-beside"),
    ):
        with pytest.raises(PathNotAllowed) as refused:
            roots(tree).check(path)
        told.add(refused.value.message.replace(str(path), "PATH"))
    assert told == {"PATH may not be read: it is outside the allowed folders."}


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/sys/kernel", "/proc"])
def test_what_the_kernel_shows_is_no_file_wherever_the_root_is(path: str) -> None:
    with pytest.raises(PathNotAllowed):
        roots(Path("/")).check(Path(path))


def test_without_a_folder_nothing_is_allowed(tree: Path) -> None:
    with pytest.raises(PathNotAllowed, match="no folder is allowed"):
        roots().check(tree)
    assert Roots.of(None) is None


def test_links_out_of_the_tree_are_left_out(tree: Path) -> None:
    admitted = roots(tree).admitted(find([tree]))
    assert [source.path.name for source in admitted.sources] == ["a.md"]
    reasons = {skipped.name: skipped.reason for skipped in admitted.skipped}
    assert reasons["allowed/sub/link.md"] == "the same file as allowed/folder/secret.md"
    assert reasons["allowed/folder/secret.md"] == "a link out of the allowed folders"
    assert reasons["allowed/pipe"] == "not a regular file"


def test_a_folder_that_has_become_a_link_meanwhile_is_left_out(tree: Path) -> None:
    (tree / "sub" / "link.md").unlink()
    (tree / "folder").unlink()
    (tree / "sub" / "secret.md").write_text("# Mine\n")
    found = find([tree])
    (tree / "sub").rename(tree / "was")
    (tree / "sub").symlink_to(tree.parent / "other")
    assert "secret.md" not in {source.path.name for source in roots(tree).admitted(found).sources}


@pytest.mark.process  # a store takes seconds
def test_a_run_within_folders_reads_nothing_else(tree: Path, tmp_path: Path) -> None:
    with fake_engine(tmp_path / "data") as engine:
        *_, report = begin(engine, Run("default", (str(tree),), within=(str(tree),)))
        assert isinstance(report, Report)
        documents = engine.rag.store.open("default").documents()
        assert [document.title for document in documents] == ["Allowed"]
        assert report.count("added") == 1


def test_the_setting_is_a_path_of_folders(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    assert load_settings().roots == ()
    monkeypatch.setenv("OPENBOOK_ROOTS", f"{tree}:{tree / 'folder'}:~")
    assert load_settings().roots == (tree, tree.parent / "other", Path.home().resolve())
    monkeypatch.setenv("OPENBOOK_ROOTS", "relative")
    with pytest.raises(BadSetting, match=r"OPENBOOK_ROOTS.*not an absolute path"):
        load_settings()
