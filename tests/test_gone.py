"""What has gone from a folder: files that do not exist, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fakes import document
from ingest.gone import check, gone
from rag.errors import SourceMissing
from rag.types import Document


def sources(documents: list[Document]) -> list[str]:
    return [document.source for document in documents]


def made(folder: Path, *names: str) -> list[Document]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return [document((folder / name).as_uri()) for name in names]


def test_only_what_does_not_exist_has_gone(tmp_path: Path) -> None:
    documents = made(tmp_path, "a.txt", "deep/b ö%.txt", "deep/.hidden", "other.txt")
    assert gone(documents, [tmp_path]) == []
    (tmp_path / "a.txt").unlink()
    (tmp_path / "deep/b ö%.txt").unlink()
    assert sources(gone(documents, [tmp_path, tmp_path / "deep"])) == sources(documents[:2])
    assert sources(gone(documents, [tmp_path / "deep"])) == sources(documents[1:2])


def test_other_folders_are_not_looked_at(tmp_path: Path) -> None:
    (there,) = made(tmp_path / "project", "a.txt")
    elsewhere = document((tmp_path / "project-2" / "a.txt").as_uri())  # never existed
    assert gone([there, elsewhere], [tmp_path / "project"]) == []


def test_a_root_that_is_a_link_means_what_it_leads_to(tmp_path: Path) -> None:
    documents = made(tmp_path / "real", "a.txt", "b.txt")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "a.txt").unlink()
    assert sources(gone(documents, [tmp_path / "link"])) == sources(documents[:1])


def test_a_missing_root_is_an_error_and_so_is_an_empty_one(tmp_path: Path) -> None:
    documents = made(tmp_path / "volume", "a.txt")
    (tmp_path / "volume" / "a.txt").unlink()
    with pytest.raises(SourceMissing, match=r"volume is empty, and 1 documents came from it.*openbook rm"):
        check(documents, [tmp_path / "volume"])
    (tmp_path / "volume").rmdir()
    with pytest.raises(SourceMissing, match=r"volume does not exist.*openbook rm"):
        check(documents, [tmp_path / "volume"])


def test_an_empty_root_from_which_nothing_came_is_none(tmp_path: Path) -> None:
    check([], [tmp_path])


def test_a_folder_in_the_place_of_a_file_and_the_other_way(tmp_path: Path) -> None:
    documents = made(tmp_path, "a.py", "b/c.py", "b/d/e.py")
    (tmp_path / "a.py").unlink()
    (tmp_path / "a.py").mkdir()
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").write_text("no archive")
    assert gone(documents, [tmp_path]) == documents


def test_of_an_archive_what_is_no_longer_in_it_has_gone_once_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"")
    uri = (tmp_path / "a.zip").as_uri()
    inner = [document(f"{uri}/in/x.txt"), document(f"{uri}/y.txt")]
    assert gone(inner, [tmp_path]) == []
    assert sources(gone(inner, [tmp_path], seen={inner[1].source}, unpacked={uri})) == [inner[0].source]
    (tmp_path / "a.zip").unlink()
    (tmp_path / "else.txt").write_text("")
    assert gone(inner, [tmp_path]) == inner
