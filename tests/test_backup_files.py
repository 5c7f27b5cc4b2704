"""What of a data folder goes into a backup while others write there: what counts, as it is, and nothing half done."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fake_engine import fake_store
from fakes import FakeEmbedder, document, passages
from ingest.backup.archive import Archive, checked
from ingest.backup.snapshot import back_up
from ingest.jobs import Jobs
from ingest.run import Run
from rag.errors import DiskFull, StoreUnavailable
from rag.store.edge import EdgeStore
from test_backup import backed_up, brought_back

SENT = Path("files", "team", "uploads")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / SENT).mkdir(parents=True)
    (folder / SENT / "sent.md").write_text("# Sent\n")
    with closing(Jobs(folder / "jobs.db")) as jobs:
        jobs.add(Run("team", ("/documents",)))
    return folder


@pytest.fixture
def store(data: Path) -> Iterator[EdgeStore]:
    with closing(fake_store(data)) as store:
        yield store


@pytest.fixture
def put_back(data: Path, store: EdgeStore, tmp_path: Path) -> Callable[[], Path]:
    """The data folder that its backup makes."""

    def put_back() -> Path:
        new = tmp_path / "new"
        with closing(fake_store(new)) as after:
            brought_back(new, after, backed_up(data, store, tmp_path / "all.tar"))
        return new

    return put_back


def write(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_vanishes_meanwhile_ends_nothing(
    data: Path, put_back: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = data / SENT / "gone"
    write(gone / "a.md")
    for name in ("listdir", "scandir"):
        whole: Callable[[Any], Any] = getattr(os, name)

        def listing(path: Any = ".", whole: Callable[[Any], Any] = whole) -> Any:
            if str(path) == str(gone):
                shutil.rmtree(gone, ignore_errors=True)
            return whole(path)

        monkeypatch.setattr(os, name, listing)
    new = put_back()
    assert not gone.exists()
    assert (new / SENT / "sent.md").read_text() == "# Sent\n"


def test_what_is_half_done_is_left_out(data: Path, put_back: Callable[[], Path]) -> None:
    for name in (
        "unpacked/1/inner.md",
        "files/.incoming/1/files/a.md",
        "files/.dropped/1/uploads/b.md",
        "collection_settings.new",
        "calibrations/a.new",
        "older.tar.part",
    ):
        write(data / name)
    write(data / "files/.whole/1/upload.json", b"{}")
    write(data / "calibrations/a.jsonl", b"")
    assert names(put_back()) - {"format.json"} == {
        "jobs.db",
        "files/.whole/1/upload.json",
        "files/team/uploads/sent.md",
        "calibrations/a.jsonl",
    }


def test_uploads_are_kept_whatever_they_are_called(data: Path, put_back: Callable[[], Path]) -> None:
    sent = {
        "plan.new": b"new",
        "a-journal": b"of a ship",
        "b-wal": b"1",
        "c.part": b"2",
        "d-shm": b"3",
        "cache/e.md": b"4",
        "unpacked/f.md": b"5",
        # Somebody's database is bytes, be it damaged.
        "notes.db": b"SQLite format 3\x00 and nothing that is one",
    }
    for name, content in sent.items():
        write(data / SENT / name, content)
    new = put_back()
    assert {name: (new / SENT / name).read_bytes() for name in sent} == sent


def test_an_upload_that_comes_in_is_read_record_first(data: Path, store: EdgeStore, tmp_path: Path) -> None:
    """Its files may leave for their places while it is read; those are looked at later."""
    write(data / "files/.whole/1/files/a.md")
    write(data / "files/.whole/1/upload.json", b"{}")
    members = list(checked(backed_up(data, store, tmp_path / "all.tar")).members)
    order = ["files/files/.whole/1/upload.json", "files/files/.whole/1/files/a.md", f"files/{SENT}/sent.md"]
    assert [name for name in members if name.startswith("files/files/")] == order
    assert members.index("files/jobs.db") > members.index(order[-1])


def test_no_job_is_done_whose_documents_are_missing(
    data: Path, put_back: Callable[[], Path], store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ends while the backup is made."""
    index, whole = store.open("team", create=True), Archive.add_file

    def done(archive: Archive, name: str, path: Path) -> None:
        if name == f"files/{SENT}/sent.md":
            doc = document(collection="team")
            tiles = passages(doc, "words")
            index.put(doc, tiles, FakeEmbedder().embed(["words"]))
            with closing(Jobs(data / "jobs.db")) as jobs:
                job = jobs.begin()
                assert job
                jobs.end(job.id)
        whole(archive, name, path)

    monkeypatch.setattr(Archive, "add_file", done)
    new = put_back()
    with closing(Jobs(new / "jobs.db")) as jobs, closing(fake_store(new)) as after:
        assert jobs.by_state() == {"done": 1}
        assert after.open("team").size() == (1, 1)


def test_copies_lie_beside_the_archive_and_go(
    put_back: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    with closing(Jobs(put_back() / "jobs.db")) as jobs:
        assert jobs.by_state() == {"queued": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.tar", "data", "new"]


def test_an_archive_in_the_data_folder_does_not_hold_itself(data: Path, store: EdgeStore) -> None:
    (data.parent / "link").symlink_to(data)
    target = data.parent / "link" / "older" / "all.tar"
    write(target, b"the one before")
    for _ in range(2):
        members = set(checked(backed_up(data, store, target)).members)
        assert members == {"files/jobs.db", f"files/{SENT}/sent.md"}


def test_a_damaged_database_is_named(data: Path, store: EdgeStore, tmp_path: Path) -> None:
    write(data / "answers.db", b"SQLite format 3\x00" + b"damage" * 1000)
    with pytest.raises(StoreUnavailable, match=r"answers\.db cannot be copied") as raised:
        backed_up(data, store, tmp_path / "all.tar")
    assert "move it away" in raised.value.hint
    assert not list(tmp_path.glob("*all.tar*"))


class Full(sqlite3.Connection):
    def backup(self, *_arguments: Any, **_more: Any) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error


def test_no_room_for_a_copy_is_told(
    data: Path, store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", Full)
    with pytest.raises(DiskFull, match=str(tmp_path)):
        backed_up(data, store, tmp_path / "all.tar")


def test_a_database_that_goes_meanwhile_is_not_made_anew(
    data: Path, store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect(*of: Any, **more: Any) -> sqlite3.Connection:
        (data / "jobs.db").unlink(missing_ok=True)
        return whole(*of, **more)

    monkeypatch.setattr(sqlite3, "connect", connect)
    done = back_up(data, store, FakeEmbedder.name, FakeEmbedder.dimension, tmp_path / "all.tar")
    assert done.files == 1
    assert not (data / "jobs.db").exists()


def test_what_cannot_be_read_is_named(
    data: Path, store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.open

    def failing(path: Path, *of: Any, **more: Any) -> Any:
        if path.name == "sent.md":
            raise PermissionError(13, "Permission denied")
        return whole(path, *of, **more)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(StoreUnavailable, match=r"sent\.md cannot be read: Permission denied"):
        backed_up(data, store, tmp_path / "all.tar")
