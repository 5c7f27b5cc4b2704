from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.sources import Found, find, media_type_of
from rag.errors import SourceMissing

ROOT = os.geteuid() == 0


def make(root: Path, *names: str, content: bytes = b"words\n") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def names(found: Found) -> list[str]:
    return [source.name for source in found.sources]


def reasons(found: Found) -> dict[str, str]:
    return {skipped.name: skipped.reason for skipped in found.skipped}


def test_a_folder_is_walked_in_order_and_named_from_its_own_name(tmp_path: Path) -> None:
    folder = make(tmp_path / "manuals", "b.md", "a/z.txt", "a.pdf", "c/d/e.py")
    found = find([folder])
    assert names(found) == ["manuals/a/z.txt", "manuals/a.pdf", "manuals/b.md", "manuals/c/d/e.py"]
    assert [source.media_type for source in found.sources] == [
        "text/plain",
        "application/pdf",
        "text/markdown",
        "text/x-python",
    ]
    assert not any(source.explicit for source in found.sources)
    assert found.sources[0].uri == (folder / "a/z.txt").as_uri()
    assert found.skipped == ()


def test_what_is_left_out_is_said_with_the_reason(tmp_path: Path) -> None:
    folder = make(tmp_path / "f", ".env", ".git/config", "node_modules/a/b.js", "__pycache__/x.py", "ok.md")
    make(folder, "mine/pyvenv.cfg", "mine/lib/x.py", ".venv/pyvenv.cfg")
    make(folder, "data.bin", content=b"\x89PNG\0\0")
    make(folder, "nothing.txt", content=b"")
    make(folder, "long.txt", content=b"x" * 101)
    (folder / "gone.txt").symlink_to(folder / "never")
    found = find([folder], max_bytes=100)
    assert names(found) == ["f/ok.md"]
    assert reasons(found) == {
        "f/.env": "hidden",
        "f/.git/": "hidden",
        "f/.venv/": "hidden",
        "f/__pycache__/": "compiled Python",
        "f/node_modules/": "installed packages",
        "f/mine/": "a virtual environment",
        "f/data.bin": "unknown type (.bin)",
        "f/nothing.txt": "empty",
        "f/long.txt": "too large (101 bytes; at most 100 are read)",
        "f/gone.txt": "a broken link",
    }


def test_of_a_plain_folder_what_tools_made_is_left_out_and_no_folder_for_its_name(tmp_path: Path) -> None:
    folder = make(tmp_path / "f", "vendor/offer.md", "yarn.lock", "app.min.js", "notes.md")
    make(folder, "gen.py", content=b"# @generated\n")
    make(folder, "about.md", content=b"# @generated\n")
    found = find([folder])
    assert names(found) == ["f/about.md", "f/notes.md", "f/vendor/offer.md"]
    assert reasons(found) == {
        "f/app.min.js": "minified; --all-files reads it",
        "f/gen.py": "generated, as its header says; --all-files reads it",
        "f/yarn.lock": "a lock file; --all-files reads it",
    }
    assert len(names(find([folder], all_files=True))) == 6
    assert names(find([folder / "yarn.lock"])) == ["yarn.lock"]


def test_a_file_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    make(tmp_path, ".hidden.md")
    make(tmp_path, "empty.txt", content=b"")
    make(tmp_path, "data.bin", content=b"\x89PNG\0\0")
    found = find([tmp_path / ".hidden.md", tmp_path / "empty.txt", tmp_path / "data.bin"])
    assert names(found) == [".hidden.md", "empty.txt", "data.bin"]
    assert all(source.explicit for source in found.sources)
    assert found.sources[2].media_type == "application/octet-stream"


def test_a_file_that_is_named_and_too_large_is_reported(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", content=b"x" * 11)
    found = find([tmp_path / "a.txt"], max_bytes=10)
    assert found.sources == ()
    assert found.skipped[0].explicit


def test_a_hidden_folder_that_is_named_is_read(tmp_path: Path) -> None:
    assert names(find([make(tmp_path / ".notes", "a.md")])) == [".notes/a.md"]


def test_a_file_named_twice_is_one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "f", "a.md", "b.md")
    monkeypatch.chdir(folder)
    found = find([folder, folder / "a.md", Path("a.md"), Path("../f/b.md"), Path()])
    assert names(found) == ["f/a.md", "f/b.md"]
    assert [source.explicit for source in found.sources] == [True, True]
    assert found.skipped == ()


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    folder = make(tmp_path / "f", "a.md", "sub/b.md")
    (folder / "loop").symlink_to(folder)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "same.md").symlink_to(folder / "a.md")
    found = find([folder])
    assert names(found) == ["f/a.md", "f/sub/b.md"]
    assert reasons(found) == {
        "f/loop/": "a link to a folder that is read already",
        "f/same.md": "the same file as f/a.md",
        "f/sub/up/": "a link to a folder that is read already",
    }


def test_a_link_to_itself_does_not_stop_the_walk(tmp_path: Path) -> None:
    folder = make(tmp_path / "f", "b.md")
    (folder / "a.md").symlink_to(folder / "a.md")
    found = find([folder])
    assert names(found) == ["f/b.md"]
    assert list(reasons(found)) == ["f/a.md"]


def test_a_missing_path_is_named_before_anything_is_read(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    with pytest.raises(SourceMissing, match="no-such-folder"):
        find([tmp_path / "a.md", tmp_path / "no-such-folder"])


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_what_cannot_be_read_is_reported(tmp_path: Path) -> None:
    folder = make(tmp_path / "f", "a.md", "closed/b.md", "secret.md")
    (folder / "closed").chmod(0)
    (folder / "secret.md").chmod(0)
    try:
        found = find([folder])
    finally:
        (folder / "closed").chmod(0o700)
    assert names(found) == ["f/a.md"]
    assert set(reasons(found)) == {"f/closed/", "f/secret.md"}


def test_what_is_no_file_is_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    found = find([tmp_path])
    assert next(iter(reasons(found).values())) == "not a regular file"


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("Makefile", b"all:\n\techo\n", "text/plain"),
        ("notes.UNKNOWN", "Grüße ".encode() * 2000, "text/plain"),
        ("REPORT.PDF", b"", "application/pdf"),
        ("no-extension", b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
        ("program", b"\x7fELF\0\0", "application/octet-stream"),
        ("latin.xyz", "Grüße".encode("latin-1"), "application/octet-stream"),
        ("cut", b"x" * 8191 + "ü".encode(), "text/plain"),
    ],
)
def test_media_types(tmp_path: Path, name: str, content: bytes, media_type: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert media_type_of(tmp_path / name) == media_type
