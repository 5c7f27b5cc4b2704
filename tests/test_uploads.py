"""Uploads on the disk: whole or not there, whatever ends the process, and gone when they are removed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fake_engine import fake_engine
from ingest import catalog, uploads
from ingest.jobs import Job, Jobs
from ingest.report import FileResult, Removal, Report
from ingest.run import Run, begin
from ingest.uploads import MAX_FILES, Incoming, Uploads
from rag.compose import Engine
from rag.errors import (
    BadFileName,
    BadName,
    BadRequest,
    CollectionNotFound,
    DiskFull,
    DocumentNotFound,
    StoreUnavailable,
    UploadTooLarge,
)

pytestmark = pytest.mark.process  # of which they start none; but what is synced to the disk takes seconds


@pytest.fixture(autouse=True)
def _small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "RESERVE_BYTES", 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "data"


@pytest.fixture
def jobs(data: Path) -> Iterator[Jobs]:
    with closing(Jobs(data / "jobs.db")) as jobs:
        yield jobs


def receive(incoming: Incoming, files: dict[str, bytes]) -> Incoming:
    for name, content in files.items():
        incoming.begin_file(name)
        for at in range(0, len(content), 7):
            incoming.write(content[at : at + 7])
        incoming.end_file()
    return incoming


def send(house: Uploads, jobs: Jobs, files: dict[str, bytes], collection: str = "c") -> Job:
    return house.accept(receive(house.begin(collection), files), jobs)


def stored(data: Path) -> dict[str, bytes]:
    """Every file below the folder of uploads, by its path there."""
    root = data / "files"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# --- coming in ------------------------------------------------------------------------------------------------


def test_files_are_in_their_places_and_their_job_waits(data: Path, jobs: Jobs) -> None:
    job = send(Uploads(data), jobs, {"a.md": b"Text of a.", "docs/b.md": b"", "U\u0308.md": b"x"})
    assert stored(data) == {
        "c/uploads/a.md": b"Text of a.",
        "c/uploads/docs/b.md": b"",
        "c/uploads/\u00dc.md": b"x",
    }
    root = data / "files" / "c" / "uploads"
    assert (job.state, job.run.collection, job.run.paths) == ("queued", "c", (str(root),))
    assert job.run.changed == tuple(str(root / name) for name in ("a.md", "docs/b.md", "\u00dc.md"))
    assert job.run.explicit
    assert [path.name for path in (data / "files").iterdir() if list(path.iterdir())] == ["c"]


def test_what_is_not_accepted_leaves_nothing(data: Path) -> None:
    incoming = receive(Uploads(data).begin("c"), {"a.md": b"whole"})
    incoming.begin_file("b.md")
    incoming.write(b"half")
    incoming.discard()
    assert stored(data) == {}


def test_a_file_that_is_sent_again_replaces_the_first(data: Path, jobs: Jobs) -> None:
    house = Uploads(data)
    send(house, jobs, {"a.md": b"old", "b.md": b"stays"})
    send(house, jobs, {"a.md": b"new"})
    assert stored(data) == {"c/uploads/a.md": b"new", "c/uploads/b.md": b"stays"}


@pytest.mark.parametrize(
    "names",
    [("a.md", "a.md"), ("\u00dc.md", "U\u0308.md"), ("a", "a/b.md"), ("a/b.md", "a"), ("a", "a/b/c.md")],
)
def test_two_files_of_one_upload_that_want_one_place(data: Path, names: tuple[str, str]) -> None:
    incoming = receive(Uploads(data).begin("c"), {names[0]: b"x"})
    with pytest.raises(BadFileName, match="another file or folder of this upload"):
        incoming.begin_file(names[1])


@pytest.mark.parametrize(("first", "second"), [("a", "a/b.md"), ("a/b.md", "a"), ("a", "a/b/c.md")])
def test_a_name_that_an_earlier_upload_stands_in_the_way_of(
    data: Path, jobs: Jobs, first: str, second: str
) -> None:
    house = Uploads(data)
    send(house, jobs, {first: b"first"})
    incoming = receive(house.begin("c"), {"fine.md": b"x", second: b"second"})
    with pytest.raises(BadFileName, match="was sent before"):
        house.accept(incoming, jobs)
    incoming.discard()
    assert stored(data) == {f"c/uploads/{first}": b"first"}
    assert len(jobs.newest()) == 1


def test_what_is_no_upload(data: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    house = Uploads(data)
    with pytest.raises(BadRequest, match="No file was sent"):
        house.accept(house.begin("c"), jobs)
    for name in ("../c", ".incoming", "C", ""):
        with pytest.raises(BadName):
            house.begin(name)
    with pytest.raises(BadFileName):
        house.begin("c").begin_file("../../../x")
    monkeypatch.setattr(uploads, "MAX_FILES", 3)
    with pytest.raises(UploadTooLarge, match=r"more than 3 files"):
        receive(house.begin("c"), {f"{n}.md": b"" for n in range(4)})


def test_a_disk_that_is_full_or_broken_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    incoming = Uploads(data).begin("c")
    incoming.begin_file("a.md")
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "RESERVE_BYTES", 10**6)
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6))
        with pytest.raises(DiskFull, match="OPENBOOK_DATA_DIR"):
            incoming.write(b"x")
    incoming.discard()
    for number, kind in (
        (errno.ENOSPC, DiskFull),
        (errno.EIO, StoreUnavailable),
        (errno.ENAMETOOLONG, BadFileName),
    ):
        incoming = Uploads(data).begin("c")

        def fails(_handle: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            with pytest.raises(kind):
                receive(incoming, {"b.md": b"x"})
        incoming.discard()
        assert not incoming.folder.exists()


# --- what a crash leaves ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the ``step``-th change of the disk, from now on."""
    done = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise Killed
            return change(*arguments, **named)

        return instead

    for owner, name in (
        (Path, "mkdir"), (Path, "rename"), (Path, "replace"), (Path, "open"), (os, "fsync"), (shutil, "rmtree"),
        (Jobs, "add"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


def test_killed_before_any_step_an_upload_is_whole_with_its_job_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"a.md": b"new a", "deep/er/b.md": b"new b"}
    outcomes = []
    for step in range(200):
        data = tmp_path / str(step)
        with closing(Jobs(data / "jobs.db")) as jobs:
            send(Uploads(data), jobs, {"a.md": b"old a"})
            with monkeypatch.context() as patch:
                killed_at(step, patch)
                try:
                    send(Uploads(data), jobs, new)
                    survived = True
                except Killed:
                    survived = False
        with closing(Jobs(data / "jobs.db")) as jobs:
            Uploads(data).recover(jobs)
            after = stored(data)
            asked = [view.job.run.changed for view in jobs.newest()]
        root = data / "files" / "c" / "uploads"
        if asked[0] == tuple(str(root / name) for name in new):
            assert after == {f"c/uploads/{name}": content for name, content in new.items()}, step
            assert len(asked) == 2, step
        else:
            assert after == {"c/uploads/a.md": b"old a"}, step
            assert len(asked) == 1, step
        outcomes.append(len(asked))
        if survived:
            break
    assert survived
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {1, 2}
    assert outcomes.count(2) > 5  # several steps after the one that counts


def test_a_record_that_cannot_be_read_does_not_keep_the_service_from_starting(
    data: Path, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "files" / ".whole" / "x").mkdir(parents=True)
    (data / "files" / ".whole" / "x" / "upload.json").write_text("{")
    Uploads(data).recover(jobs)
    assert "cannot be taken up" in caplog.text
    assert jobs.newest() == []


# --- ingested and removed -----------------------------------------------------------------------------------------


class House:
    """Uploads, jobs and an index, as the service has them."""

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self.engine, self.jobs = engine, jobs
        self.store, self.data = engine.rag.store, engine.owner.folder
        self.uploads = Uploads(self.data)

    def send(self, **files: bytes) -> list[FileResult]:
        job = send(self.uploads, self.jobs, {name.replace("_", "/"): text for name, text in files.items()})
        return self.done(job)

    def done(self, job: Job) -> list[FileResult]:
        *_, report = begin(self.engine, job.run)
        assert isinstance(report, Report)
        return list(report.files)

    def rm(self, *names: str, folder: Path = Path("/"), everything: bool = False) -> Removal:
        settings = self.engine.rag.collection_settings
        return catalog.removed(self.store, self.uploads, settings, "c", names, folder, everything=everything)

    def names(self) -> list[str]:
        return [document.name for document in self.store.open("c").documents()]

    def files(self) -> list[str]:
        return [file.name for file in self.uploads.sent("c")]


@pytest.fixture
def house(data: Path, jobs: Jobs) -> Iterator[House]:
    with fake_engine(data) as engine:
        yield House(engine, jobs)


def by_name(results: Sequence[FileResult]) -> dict[str, str]:
    return {result.name: result.status for result in results}


def test_every_file_has_a_result_also_where_a_folder_would_leave_it_out(house: House) -> None:
    files = {
        "a.md": b"Text.", "docs/b.md": b"More.", ".hidden.md": b"Said.", "node_modules/x.js": b"var x",
        "bad.pdf": b"no PDF", "empty.txt": b"", "x.bin": b"\0\1\2",
    }  # fmt: skip
    results = house.done(send(house.uploads, house.jobs, files))
    assert by_name(results) == {
        "uploads/a.md": "added", "uploads/docs/b.md": "added", "uploads/.hidden.md": "added",
        "uploads/node_modules/x.js": "added", "uploads/bad.pdf": "failed", "uploads/empty.txt": "failed",
        "uploads/x.bin": "failed",
    }  # fmt: skip
    assert all(result.reason for result in results if result.status == "failed")
    assert "uploads/a.md" in house.names()


def test_the_same_bytes_cost_nothing_and_others_replace(house: House) -> None:
    file = {"a.md": b"Text."}
    assert by_name(house.send(**file)) == {"uploads/a.md": "added"}
    assert by_name(house.send(**file)) == {"uploads/a.md": "unchanged"}
    assert by_name(house.send(**{"a.md": b"Other text."})) == {"uploads/a.md": "replaced"}
    assert len(house.store.open("c").documents()) == 1


def test_of_two_uploads_that_wait_the_later_one_stays(house: House) -> None:
    first = send(house.uploads, house.jobs, {"a.md": b"One."})
    second = send(house.uploads, house.jobs, {"a.md": b"Two."})
    assert by_name(house.done(first)) == {"uploads/a.md": "added"}
    assert by_name(house.done(second)) == {"uploads/a.md": "unchanged"}
    (document,) = house.store.open("c").documents()
    assert house.store.open("c").read(document.id)[0].text == "Two."


@pytest.mark.parametrize("name", ["uploads/a.md", "a.md", "id", "source", "path"])
def test_a_document_goes_with_its_file(house: House, name: str) -> None:
    house.send(**{"a.md": b"Text.", "b.md": b"More."})
    (document, _) = house.store.open("c").documents()
    root = house.data / "files" / "c" / "uploads"
    named = {"id": document.id, "source": document.source, "path": str(root / "a.md")}.get(name, name)
    removed = house.rm(named, folder=root)
    assert (removed.removed, removed.files) == ((document,), ("uploads/a.md",))
    assert (house.names(), house.files()) == (["uploads/b.md"], ["uploads/b.md"])


def test_the_index_first_then_the_file(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.send(**{"a.md": b"Text."})
    monkeypatch.setattr(house.uploads, "remove", lambda _: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        house.rm("uploads/a.md")
    assert (house.names(), house.files()) == ([], ["uploads/a.md"])
    monkeypatch.undo()
    assert house.rm("uploads/a.md").files == ("uploads/a.md",)  # the same command again
    assert house.files() == []


def test_a_file_of_which_no_document_came_can_be_removed(house: House) -> None:
    house.send(**{"bad.pdf": b"no PDF"})
    with pytest.raises(CollectionNotFound):
        house.names()
    with pytest.raises(DocumentNotFound):
        house.rm("uploads/other.pdf")
    assert house.rm("uploads/bad.pdf") == Removal("c", (), ("uploads/bad.pdf",))
    with pytest.raises(CollectionNotFound):
        house.rm("uploads/bad.pdf")
    house.send(**{"bad.pdf": b"no PDF"})
    assert house.rm(everything=True).files == ("uploads/bad.pdf",)
    with pytest.raises(CollectionNotFound):
        house.rm(everything=True)


def test_the_collection_goes_with_its_files_and_other_collections_keep_theirs(house: House) -> None:
    house.send(**{"a.md": b"Text.", "docs_b.md": b"More."})
    send(house.uploads, house.jobs, {"a.md": b"Other."}, "d")
    removed = house.rm(everything=True)
    assert len(removed.removed) == 2
    assert removed.files == ("uploads/a.md", "uploads/docs/b.md")
    assert stored(house.data) == {"d/uploads/a.md": b"Other."}


def test_folders_go_with_their_last_file(house: House) -> None:
    house.send(**{"x_y_a.md": b"A.", "x_b.md": b"B."})
    root = house.data / "files" / "c" / "uploads"
    house.rm(str(root / "x" / "y"))
    assert [path.name for path in root.rglob("*")] == ["x", "b.md"]
    house.rm("uploads/x/b.md")
    assert list(root.iterdir()) == []
    house.send(x=b"A file now.")  # no folder stands in the way of its name


def test_a_file_that_was_sent_again_while_it_was_removed_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.send(**{"a.md": b"Old."})
    index = house.store.open("c")
    remove = index.remove

    def meanwhile(ids: Sequence[str]) -> None:
        remove(ids)
        send(house.uploads, house.jobs, {"a.md": b"New."})

    monkeypatch.setattr(index, "remove", meanwhile)
    house.rm("uploads/a.md")
    assert stored(house.data) == {"c/uploads/a.md": b"New."}


def test_an_archive_stays_until_its_last_document_goes(house: House, tmp_path: Path) -> None:
    source = tmp_path / "zip"
    source.mkdir()
    for name in ("x.md", "y.md"):
        (source / name).write_text(f"Text of {name}.")
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", source))
    house.send(**{"a.zip": archive.read_bytes()})
    assert house.names() == ["a.zip/x.md", "a.zip/y.md"]
    assert house.rm("a.zip/x.md").files == ()
    assert house.rm("a.zip/y.md").files == ("uploads/a.zip",)
    house.send(**{"a.zip": archive.read_bytes()})
    assert len(house.rm("uploads/a.zip").removed) == 2
    assert house.files() == []


def test_a_data_folder_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with (
        fake_engine(tmp_path / "link") as engine,
        closing(Jobs(tmp_path / "link" / "jobs.db")) as jobs,
    ):
        linked = House(engine, jobs)
        assert by_name(linked.send(**{"docs_a.md": b"Text."})) == {"uploads/docs/a.md": "added"}
        assert linked.rm("docs/a.md").files == ("uploads/docs/a.md",)
        assert stored(tmp_path / "real") == {}


def test_pruning_another_folder_leaves_uploads_alone(house: House, tmp_path: Path) -> None:
    house.send(**{"a.md": b"Text."})
    folder = tmp_path / "uploads"
    folder.mkdir()
    for name in ("a.md", "b.md"):
        (folder / name).write_text(f"{name} of a folder of the same name.")
    run = Run("c", (str(folder),))
    list(begin(house.engine, run))
    (folder / "a.md").unlink()
    *_, report = begin(house.engine, replace(run, prune=True))
    assert isinstance(report, Report)
    assert report.count("removed") == 1
    assert sorted(house.names()) == ["uploads/a.md", "uploads/b.md"]
    assert house.files() == ["uploads/a.md"]
    # A file of that folder is meant where it is named from there, not the uploaded one.
    assert house.rm("b.md", folder=folder).files == ()


def test_limits_are_what_the_documentation_says() -> None:
    text = (Path(__file__).parent.parent / "docs" / "serve.md").read_text()
    assert f"{MAX_FILES:,} files" in text
