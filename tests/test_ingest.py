"""A run of ingestion over fakes and a real embedded store: what it writes, what it leaves, what it says."""

from __future__ import annotations

import asyncio
import io
import os
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_engine import fake_store
from fakes import FakeCounter, FakeEmbedder
from ingest import batches, catalog, documents, pipeline, work, workers
from ingest.changes import find_changed
from ingest.containers.unpack import Budget, UnpackLimits
from ingest.contents import Contents
from ingest.failures import Failures
from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.pipeline import Event, Ingestion, check_there, stepwise
from ingest.prune import Scope, pruned
from ingest.report import FileResult, Found, Progress, Report
from ingest.uploads import Uploads
from rag import errors as e
from rag.collection_settings import CollectionSettings
from rag.ports import Write
from rag.store.edge import EdgeStore
from rag.types import Document, Passage


class House:
    """A folder of files, a collection, and runs that count what they cost."""

    def __init__(self, store: EdgeStore, files: Path, collection: str) -> None:
        self.store, self.files, self.collection = store, files, collection
        self.embedder = FakeEmbedder()
        files.mkdir()

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def ingestion(self, collection: str | None = None) -> Ingestion:
        return Ingestion(self.store, self.embedder, FakeCounter(), collection or self.collection)

    def events(self, *paths: Path, collection: str | None = None) -> list[Event]:
        return list(self.ingestion(collection).run(paths or [self.files]))

    def run(self, *paths: Path, collection: str | None = None) -> Report:
        report = self.events(*paths, collection=collection)[-1]
        assert isinstance(report, Report)
        return report

    def documents(self) -> list[Document]:
        return self.store.open(self.collection).documents()

    def text(self, document: Document) -> str:
        return "".join(passage.text for passage in self.store.open(self.collection).read(document.id))

    def content(self) -> dict[Document, list[Passage]]:
        index = self.store.open(self.collection)
        return {
            replace(document, ingested_at=""): list(index.read(document.id)) for document in self.documents()
        }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    store = fake_store(tmp_path_factory.mktemp("ingest"))
    yield store
    store.close()


@pytest.fixture
def house(store: EdgeStore, tmp_path: Path) -> Iterator[House]:
    """Its collection is emptied, not dropped, for the next test: making one takes longer than most tests."""
    house = House(store, tmp_path / "files", "default")
    yield house
    if "default" in store.names():
        store.open("default").remove([document.id for document in store.open("default").documents()])


def statuses(report: Report) -> dict[str, str]:
    return {result.name: result.status for result in report.files}


def result(report: Report, name: str) -> FileResult:
    (found,) = [result for result in report.files if result.name == name]
    return found


# --- added, unchanged, replaced -----------------------------------------------------------------------------


def test_added_then_unchanged_then_replaced(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = house.write("a.md", "# A\n\nText of a.\n"), house.write("b.txt", "Text of b.\n")
    first = house.run()
    assert statuses(first) == {"files/a.md": "added", "files/b.txt": "added"}
    assert first.parsed == 2
    assert first.embedded == len(house.embedder.embedded) == 2
    assert {document.source for document in house.documents()} == {a.as_uri(), b.as_uri()}
    assert [house.text(document) for document in house.documents()] == [a.read_text(), b.read_text()]

    before = house.documents()
    monkeypatch.setattr(workers, "parse", lambda *_: pytest.fail("an unchanged file was parsed"))
    os.utime(a, (1, 1))  # times say nothing
    again = house.run()
    assert statuses(again) == {"files/a.md": "unchanged", "files/b.txt": "unchanged"}
    assert (again.parsed, again.embedded, len(house.embedder.embedded)) == (0, 0, 2)
    assert house.documents() == before
    assert result(again, "files/a.md").tokens == before[0].tokens

    monkeypatch.setattr(workers, "parse", parse)
    house.write("b.txt", "Another text of b.\n")
    third = house.run()
    assert statuses(third) == {"files/a.md": "unchanged", "files/b.txt": "replaced"}
    assert (third.parsed, third.embedded) == (1, 1)
    after = house.documents()
    assert [document.id for document in after] == [document.id for document in before]
    assert house.text(after[1]) == "Another text of b.\n"
    assert after[1].revision != before[1].revision
    assert house.store.open(house.collection).size() == (2, 2)


def test_a_document_tells_its_day_its_language_and_its_front_matter(house: House) -> None:
    german = "Der Pegel misst den Wasserstand im Hafen, und seine Batterie hält vierhundert Tage lang. " * 4
    path = house.write("a.md", f"---\nauthor: Ada\ntags: [sea]\n---\n{german}\n")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    house.run()
    (document,) = house.documents()
    assert document.modified_at == "2020-09-13T12:26:40+00:00"
    assert document.language == "de"
    assert document.fields == {"author": "Ada", "tags": ["sea"]}


@pytest.mark.parametrize("seconds", [1 << 60, -(1 << 40)])
def test_a_time_beyond_the_calendar_is_none(
    house: House, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    path = house.write("a.txt", "Words.\n")
    stat = Path.stat

    def dated(self: Path, **options: Any) -> os.stat_result:
        found = stat(self, **options)
        return os.stat_result((*found[:8], seconds, found[9])) if self == path else found

    monkeypatch.setattr(Path, "stat", dated)
    assert statuses(house.run()) == {"files/a.txt": "added"}
    assert [document.modified_at for document in house.documents()] == [""]


def test_what_an_archive_holds_is_as_old_as_the_archive(house: House) -> None:
    inner = zipped({"deep.txt": b"Deep words.\n"})
    path = house.write("a.zip", zipped({"b.txt": b"Words.\n", "c.zip": inner}))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    house.run()
    assert [document.modified_at[:10] for document in house.documents()] == ["2020-09-13"] * 2


def test_ids_depend_on_source_and_collection_alone(house: House, tmp_path: Path) -> None:
    path = house.write("a.md", "# A\n\nText.\n")
    house.run(path)
    first = house.content()
    house.store.drop(house.collection)
    link = tmp_path / "link"
    link.symlink_to(house.files)
    house.run(link / "a.md", house.files, Path(os.path.relpath(path)))  # however it is named, it is one file
    assert house.content() == first
    (document,) = first
    other = house.collection + "-2"
    house.run(path, collection=other)
    assert house.store.open(other).documents()[0].id != document.id
    house.store.drop(other)


def test_two_collections_know_nothing_of_each_other(house: House) -> None:
    house.write("a.md", "# A\n\nText.\n")
    other = house.collection + "-2"
    assert house.run().count("added") == 1
    assert house.run(collection=other).count("added") == 1
    settings = CollectionSettings()
    for collection in (house.collection, other):
        settings.set(collection, "target", 1)
    catalog.removed(house.store, Uploads(house.files.parent), settings, other, [], Path("/"), everything=True)
    assert house.run().count("unchanged") == 1
    assert settings.values("target", (house.collection, other)) == [1]


def sizes(house: House) -> catalog.Size:
    return catalog.sizes(house.store, house.embedder)[house.collection]


@pytest.mark.parametrize(
    ("what", "changed"), [("parser_version", lambda _: "another"), ("TILING_VERSION", "another")]
)
def test_another_parser_or_tiling_replaces_what_has_not_changed(
    house: House, monkeypatch: pytest.MonkeyPatch, what: str, changed: object
) -> None:
    house.write("a.md", "# A\n\nText.\n")
    house.run()
    assert sizes(house) == catalog.Size(1, 1, outdated=0)
    monkeypatch.setattr(documents, what, changed)
    assert sizes(house) == catalog.Size(1, 1, outdated=1)
    assert statuses(house.run()) == {"files/a.md": "replaced"}
    assert statuses(house.run()) == {"files/a.md": "unchanged"}
    assert sizes(house).outdated == 0
    assert house.store.open(house.collection).size() == (1, 1)


def test_a_rename_costs_no_embedding(house: House) -> None:
    old = house.write("old.md", "# A\n\nText of a.\n\n# B\n\nText of b.\n")
    house.run()
    embedded = len(house.embedder.embedded)
    house.write("deep/new.md", old.read_text())
    old.unlink()
    moved = house.run()
    assert statuses(moved) == {"files/deep/new.md": "added"}
    assert (moved.parsed, moved.embedded, len(house.embedder.embedded)) == (1, 0, embedded)
    index = house.store.open(house.collection)
    before, after = sorted(index.documents(), key=lambda each: each.name != "files/old.md")
    assert after.name == "deep/new.md"
    np.testing.assert_array_equal(index.vectors(index.read(before.id)), index.vectors(index.read(after.id)))


def test_a_copy_is_embedded_since_its_name_is_another(house: House) -> None:
    house.write("one.md", "# A\n\nText of a.\n")
    house.run()
    house.write("two.md", "# A\n\nText of a.\n")
    assert house.run().embedded == 1


def test_what_failed_is_not_tried_again_until_it_changes(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = house.write("bad.pdf", b"no PDF")
    tried: list[str] = []

    def counted(data: bytes, name: str, media_type: str) -> Parsed:
        tried.append(name)
        return parse(data, name, media_type)

    monkeypatch.setattr(workers, "parse", counted)

    def run(collection: str = "default") -> FileResult:
        failures = Failures(tmp_path / "failures.db")
        *_, report = house.ingestion(collection).run([house.files], failures=failures)
        failures.close()
        assert isinstance(report, Report)
        return result(report, "files/bad.pdf")

    first, again = run(), run()
    assert (first.status, first.error) == (again.status, again.error) == ("failed", "SourceCorrupt")
    assert again.reason == first.reason
    assert "not tried again" in again.hint
    assert tried == ["files/bad.pdf"]
    bad.write_bytes(b"still no PDF")
    assert "not tried again" not in run().hint
    bad.write_bytes(b"%PDF-")
    monkeypatch.setattr(documents, "parser_version", lambda _media_type: "next")
    run()
    assert len(tried) == 3


def test_a_dry_run_tells_and_does_nothing(house: House) -> None:
    house.write("same.md", "Same.\n")
    changed = house.write("changed.md", "Before.\n")
    house.run()
    before = house.content()
    changed.write_text("After.\n")
    house.write("new.md", "New.\n")
    *_, report = house.ingestion().run([house.files], dry=True)
    assert isinstance(report, Report)
    assert statuses(report) == {
        "files/changed.md": "replaced",
        "files/new.md": "added",
        "files/same.md": "unchanged",
    }
    assert (report.parsed, report.embedded) == (0, 0)
    assert house.content() == before


def test_only_what_changed_is_looked_at(house: House) -> None:
    house.write("a.md", "# A\n\nText.\n")
    b, hidden = house.write("b.md", "# B\n\nText.\n"), house.write(".git/c.md", "# C\n")
    changed = [b, hidden, house.files / "gone.md"]
    *_, report = house.ingestion().run([house.files], lambda: find_changed(changed, [house.files]))
    assert isinstance(report, Report)
    assert statuses(report) == {"files/b.md": "added"}


def test_another_type_for_the_same_bytes_is_another_text(house: House) -> None:
    house.write("a.txt", "# Not a heading\n")
    house.run()
    (house.files / "a.txt").rename(house.files / "a.md")
    assert statuses(house.run()) == {"files/a.md": "added"}
    assert (
        len(house.documents()) == 2
    )  # a file that is gone stays until it is removed: its disk may be unmounted


# --- what cannot be read ------------------------------------------------------------------------------------


def test_a_missing_path_is_refused_before_anything_is_done(house: House) -> None:
    house.collection = "none"
    good = house.write("a.md", "# A\n\nText.\n")
    nowhere = house.files / "link"
    nowhere.symlink_to("nowhere")
    for bad, expected in [
        (house.files / "no.md", "no.md does not exist"),
        (good / "below", "does not exist"),
        (nowhere, "leads nowhere"),
        (Path("/\0"), "cannot be looked at"),
        (Path("/" + "x" * 300), "cannot be looked at: File name too long"),
    ]:
        with pytest.raises(e.SourceMissing, match=expected) as caught:
            house.run(good, bad)
        assert caught.value.hint
    assert house.embedder.embedded == []
    assert "none" not in house.store.names()


def test_what_is_wrong_with_a_file_is_said_and_the_others_are_read(house: House) -> None:
    names: dict[str, str | bytes] = {
        "good.md": "# Good\n\nText.\n",
        "empty.txt": "",
        "blank.txt": " \n\n ",
        "unknown.xyz": b"\x00\x01\x02",
        "broken.pdf": b"not a PDF",
        ".hidden.txt": "hidden",
    }
    for name, data in names.items():
        house.write(name, data)
    (house.files / "link.txt").symlink_to("nowhere")
    report = house.run()
    assert statuses(report) == {
        "files/good.md": "added",
        "files/empty.txt": "skipped",
        "files/blank.txt": "skipped",
        "files/unknown.xyz": "skipped",
        "files/broken.pdf": "failed",
        "files/.hidden.txt": "skipped",
        "files/link.txt": "skipped",
    }
    assert all(r.reason for r in report.files if r.status in ("failed", "skipped"))
    assert all(r.hint and r.error for r in report.failed)
    assert len(house.documents()) == 1


def test_a_file_that_was_named_was_meant(house: House) -> None:
    report = house.run(
        house.write("empty.txt", ""),
        house.write("unknown.xyz", b"\x00\x01"),
        house.write(".env.txt", "named, so read"),
    )
    assert statuses(report) == {"empty.txt": "failed", "unknown.xyz": "failed", ".env.txt": "added"}
    assert "0 bytes" in result(report, "empty.txt").reason
    assert "Convert it" in result(report, "unknown.xyz").hint


def test_a_run_in_which_nothing_can_be_read_leaves_no_collection(house: House) -> None:
    house.collection = "none"
    report = house.run(house.write("empty.txt", ""), house.write("broken.pdf", b"not a PDF"))
    assert report.count("failed") == 2
    assert "none" not in house.store.names()
    assert house.run(house.files / "empty.txt").count("failed") == 1
    (house.files / "none").mkdir()
    assert house.run(house.files / "none").files == ()
    assert "none" not in house.store.names()


@pytest.mark.parametrize("damage", ["blank", "empty", "vanished", "bug"])
def test_a_file_that_cannot_be_read_any_more_keeps_its_earlier_version_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    path = house.write("a.txt", "Text of a.")
    house.run()
    before = house.documents()
    if damage == "blank":
        path.write_text("  ")
    elif damage == "empty":
        path.write_text("")
    elif damage == "bug":
        path.write_text("Another text.")
        monkeypatch.setattr(workers, "parse", lambda *_: 1 / 0)
    else:
        opened = Path.open

        def vanished(self: Path, *arguments: Any) -> Any:
            self.unlink()
            return opened(self, *arguments)

        monkeypatch.setattr(Path, "open", vanished)
    report = house.run()
    told = result(report, "files/a.txt")
    assert told.status == ("skipped" if damage in ("blank", "empty") else "failed")
    assert told.reason.endswith(f"The version of {before[0].ingested_at} stays.")
    assert house.documents() == before
    assert house.text(before[0]) == "Text of a."


def test_a_bug_costs_one_file_and_is_logged(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house.write("a.txt", "Text of a.")
    house.write("b.txt", "Text of b.")

    def broken(data: bytes, name: str, media_type: str) -> Any:
        if name.endswith("a.txt"):
            raise ZeroDivisionError("in a parser")
        return parse(data, name, media_type)

    monkeypatch.setattr(workers, "parse", broken)
    report = house.run()
    assert statuses(report) == {"files/a.txt": "failed", "files/b.txt": "added"}
    assert "bug" in report.failed[0].hint
    assert "ZeroDivisionError" in caplog.text


def test_an_error_of_the_store_ends_the_run_and_what_was_stored_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("a.txt", "Text of a.")
    house.run()
    house.write("b.txt", "Text of b.")
    index = house.store.open(house.collection)

    def full(*_arguments: object) -> None:
        raise e.StoreUnavailable("Writing to the index failed: no space.", "Free some.")

    monkeypatch.setattr(index, "put_all", full)
    with pytest.raises(e.StoreUnavailable, match="no space"):
        house.run()
    assert len(house.documents()) == 1


def test_names_that_are_no_unicode_markup_or_long_are_read(house: House) -> None:
    names = [
        "[red]x.txt",
        "a[1].txt",
        "näme 東京.txt",
        "with\nline.txt",
        "%41 #?.txt",
        "x" * 240 + ".txt",
    ]
    for name in names:
        house.write(name, f"Text of {name!r}.")
    raw = os.fsencode(house.files) + b"/l\xe4tin.txt"
    Path(os.fsdecode(raw)).write_text("Text of a file whose name is Latin-1.")
    report = house.run()
    assert report.count("added") == len(names) + 1
    assert result(report, "files/l?tin.txt").source.endswith("/l%E4tin.txt")
    assert house.run().count("unchanged") == len(names) + 1
    for document in house.documents():
        assert document.name.startswith("files/")
        document.title.encode()


# --- order, events, being abandoned ---------------------------------------------------------------------------


def test_events_come_in_order_with_what_is_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "EMBED_BATCH", 2)
    paragraphs = "".join(f"Paragraph {i}. " + "Words and more words. " * 40 + "\n\n" for i in range(5))
    house.write("b.txt", paragraphs)
    house.write("a.txt", "Short.")
    house.write("c.xyz", b"\0")
    events = house.events()
    assert events[0] == Found(3, len(paragraphs) + len("Short."))
    assert [type(event) for event in events[1:3]] == [FileResult, Progress]  # what is passed over comes first
    assert [e.name for e in events if isinstance(e, FileResult)] == [
        "files/c.xyz",
        "files/a.txt",
        "files/b.txt",
    ]
    steps = [e for e in events if isinstance(e, Progress) and e.name == "files/b.txt"]
    assert [step.stage for step in steps] == ["parse", *["embed"] * (len(steps) - 2), "store"]
    assert len(steps) > 3
    # The first batch holds the other file too.
    assert [step.passages_done for step in steps[1:]] == [
        0,
        *range(1, steps[-1].passages, 2),
        steps[-1].passages,
    ]
    assert (steps[0].files_done, steps[0].bytes_done) == (1, 0)
    assert (steps[-1].files_done, steps[-1].bytes_done) == (2, len("Short."))
    report = events[-1]
    assert isinstance(report, Report)
    assert set(report.seconds) == {"parse", "embed", "store", "total"}
    assert report.seconds["total"] >= report.seconds["parse"]
    assert house.content().popitem()[1][-1].end == len(paragraphs)


def test_a_run_that_is_abandoned_at_any_event_leaves_whole_documents_and_a_rerun_finishes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "EMBED_BATCH", 1)
    texts = {f"{name}.txt": f"{name}.\n" + "Words and more words.\n" * 60 for name in "ab"}
    for name, text in texts.items():
        house.write(name, text)
    count = len(house.events())
    whole = house.content()
    assert sum(map(len, whole.values())) > 2
    for steps in range(count):
        for document in house.documents():
            house.store.open(house.collection).remove([document.id])
        run = house.ingestion().run([house.files])
        for _ in range(steps):
            next(run)
        run.close()  # type: ignore[attr-defined]
        assert house.content().items() <= whole.items()
    house.run()
    assert house.content() == whole


def test_many_small_files_are_embedded_together_and_a_large_one_in_pieces(house: House) -> None:
    for i in range(40):
        house.write(f"{i:02}.txt", f"Text {i}.")
    house.write("large.txt", "Words and more words.\n" * 12_000)
    sizes: list[int] = []
    embed = house.embedder.embed

    def counted(texts: Sequence[str]) -> Any:
        sizes.append(len(texts))
        return embed(texts)

    house.embedder.embed = counted  # type: ignore[method-assign]
    report = house.run()
    assert report.count("added") == 41
    assert sizes[:-1] == [batches.EMBED_BATCH] * (len(sizes) - 1)
    assert sum(sizes) == report.embedded == sum(result.passages for result in report.files)
    assert len(sizes) > 2


def test_no_more_is_in_flight_than_the_window_holds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "WINDOW_BYTES", 50)
    monkeypatch.setattr(batches, "EMBED_BATCH", 1)
    for name in "abcdef":
        house.write(f"{name}.txt", f"{name} text of 20 bytes"[:20])
    house.write("g.txt", "Text that is longer than the window alone, and read all the same.")
    begun, most = set(), 0
    for event in house.ingestion().run([house.files]):
        if isinstance(event, Progress) and event.stage == "parse":
            begun.add(event.name)
        if isinstance(event, FileResult):
            assert event.status == "added"
            begun.remove(event.name)
        most = max(most, len(begun))
    assert most == 2


def test_workers_end_with_the_last_file_they_have_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "EMBED_BATCH", 1)
    for name in "abc":
        house.write(f"{name}.txt", f"What stands in {name}")
    monkeypatch.setattr(workers.InProcess, "close", lambda _: closed.append(len(house.embedder.embedded)))
    closed: list[int] = []
    house.run()
    assert closed[0] < len(house.embedder.embedded)


@pytest.mark.parametrize("when", ["changed", "vanished"])
def test_a_file_that_changes_between_two_looks_is_stored_as_it_was_read(
    house: House, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = house.write("a.txt", "Text of a.")
    hashed = work.hash_of

    def late(source: Any) -> str:
        found = hashed(source)
        if when == "changed":
            path.write_text("Another text.")
        else:
            path.unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "hash_of", late)
        report = house.run()
    if when == "vanished":
        assert "cannot be read: No such file" in result(report, "files/a.txt").reason
        return
    assert [house.text(document) for document in house.documents()] == ["Another text."]
    assert house.run().count("unchanged") == 1


def test_an_embedder_that_fails_costs_the_files_of_its_batch(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_texts: Sequence[str]) -> Any:
        raise ZeroDivisionError("in the embedder")

    house.write("a.txt", "Text of a.")
    house.embedder.embed = broken  # type: ignore[method-assign, assignment]
    report = house.run()
    assert "ZeroDivisionError" in report.failed[0].reason
    assert "in the embedder" in caplog.text
    house.embedder = FakeEmbedder()
    assert house.run().count("added") == 1


# --- archives and e-mails -------------------------------------------------------------------------------------


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def test_an_archive_is_read_as_the_folder_it_holds(house: House, tmp_path: Path) -> None:
    inner = {
        "b.md": b"# B\n\nText of b.\n",
        "sub/c d.txt": b"Text of c.",
        ".hidden.txt": b"no",
        "x.bin": b"\0",
    }
    path = house.write("a.zip", zipped(inner))
    house.write("d.txt", "Text of d.")
    scratch = tmp_path / "scratch"

    def run() -> Report:
        ingestion = Ingestion(house.store, house.embedder, FakeCounter(), house.collection, scratch=scratch)
        *_, report = ingestion.run([house.files])
        assert isinstance(report, Report)
        assert list(scratch.iterdir()) == []
        return report

    report = run()
    assert statuses(report) == {
        "files/a.zip": "added",
        "files/a.zip/b.md": "added",
        "files/a.zip/sub/c d.txt": "added",
        "files/a.zip/.hidden.txt": "skipped",
        "files/a.zip/x.bin": "skipped",
        "files/d.txt": "added",
    }
    assert (report.containers, report.parsed) == (1, 3)
    assert {document.source for document in house.documents()} == {
        f"{path.as_uri()}/b.md",
        f"{path.as_uri()}/sub/c%20d.txt",
        (house.files / "d.txt").as_uri(),
    }
    again = run()
    assert (again.parsed, again.embedded) == (0, 0)
    assert again.count("unchanged") == 4
    house.write("a.zip", zipped(inner | {"b.md": b"# B\n\nAnother text.\n"}))
    third = run()
    assert third.parsed == 1
    assert statuses(third)["files/a.zip"] == "replaced"
    assert statuses(third)["files/a.zip/sub/c d.txt"] == "unchanged"


def test_archives_within_archives_to_a_depth(house: House, tmp_path: Path) -> None:
    data = zipped({"deepest.txt": b"Too deep."})
    for level in (4, 3, 2):
        data = zipped({f"{level}.zip": data, f"{level}.txt": f"Level {level}.".encode()})
    house.write("1.zip", data)
    report = house.run()
    told = statuses(report)
    assert told["files/1.zip/2.txt"] == "added"
    assert told["files/1.zip/2.zip/3.zip/4.txt"] == "added"
    assert told["files/1.zip/2.zip/3.zip/4.zip"] == "skipped"
    assert "deeper than 3" in result(report, "files/1.zip/2.zip/3.zip/4.zip").reason
    assert report.containers == 3


def test_archives_within_archives_share_one_limit_and_end_at_once(house: House) -> None:
    """Ten in ten in ten, each of which gives within its own limits what all of them together may not."""
    data = zipped({"zeros.txt": bytes(16 * 2**20 - 1)}, zipfile.ZIP_DEFLATED)
    for _ in range(2):
        data = zipped({f"{number}.zip": data for number in range(10)}, zipfile.ZIP_DEFLATED)
    assert len(data) < 20_000
    house.write("bomb.zip", data)
    report = house.run()
    assert (
        report.containers <= 4
    )  # it, the first of the ten, the first of these, and the one that was too much
    told = [each.reason for each in report.files if "200 times its size" in each.reason]
    assert len(told) >= 9
    assert max(len(each.name) for each in report.files) < 100


def test_archives_within_archives_share_the_number_of_files(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.opened.Budget", lambda packed: Budget(packed, UnpackLimits(files=25)))
    inner = zipped({f"{number}.txt": f"Text {number}.".encode() for number in range(9)})
    house.write("a.zip", zipped({f"{number}.zip": inner for number in range(4)}))
    report = house.run()
    assert report.count("added") == 1 + 4 - 1 + 25 - 4
    assert "at most 25 files" in result(report, "files/a.zip/3.zip").reason
    mails = b"".join(
        f"From a@b Thu May  7 10:00:00 2026\nSubject: {n}\n\nText {n}.\n\n".encode() for n in range(30)
    )
    house.write("m.mbox", mails)
    assert sum(each.name.endswith(".eml") and each.status == "added" for each in house.run().files) == 25


def test_what_an_archive_held_is_remembered_until_something_changes(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = {"b.md": b"# B\n\nText of b.\n", "in.zip": zipped({"c.txt": b"Text of c."}), "x.bin": b"\0"}
    house.write("a.zip", zipped(inner))
    message = EmailMessage()
    message["Subject"] = "No attachments"
    message.set_content("The pump leaks.")
    house.write("mail.eml", message.as_bytes())
    contents = Contents(tmp_path / "contents.db")

    def run() -> Report:
        *_, report = house.ingestion().run([house.files], contents=contents)
        assert isinstance(report, Report)
        return report

    first = run()
    assert (first.containers, first.count("added"), first.count("skipped")) == (3, 5, 1)
    with monkeypatch.context() as patch:
        patch.setattr(workers.InProcess, "unpack", lambda *_: pytest.fail("unpacked again"))
        again = run()
    assert [(r.name, r.passages) for r in again.files] == [(r.name, r.passages) for r in first.files]
    assert (again.count("unchanged"), again.count("skipped"), again.containers) == (5, 1, 0)

    (gone,) = [document for document in house.documents() if document.source.endswith("c.txt")]
    house.store.open(house.collection).remove([gone.id])
    assert statuses(run())["files/a.zip/in.zip/c.txt"] == "added"
    assert run().containers == 0
    monkeypatch.setattr(documents, "TILING_VERSION", "another")
    assert run().count("replaced") == 5
    assert run().count("unchanged") == 5
    contents.close()


def test_an_archive_with_a_file_that_failed_is_opened_again(house: House, tmp_path: Path) -> None:
    house.write("a.zip", zipped({"b.pdf": b"no PDF", "c.txt": b"Text of c."}))
    contents = Contents(tmp_path / "contents.db")
    for _ in range(2):
        *_, report = house.ingestion().run([house.files], contents=contents)
        assert isinstance(report, Report)
        assert (report.containers, report.count("failed")) == (1, 1)
    contents.close()


def test_a_damaged_record_of_contents_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "contents.db").write_bytes(b"no database at all, but long enough to look like one " * 99)
    contents = Contents(tmp_path / "contents.db")
    assert "is damaged" in caplog.text
    assert contents.known("c", "file:///a.zip", "hash") is None
    contents.close()


def test_few_archives_lie_unpacked_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pipeline, "WINDOW_ARCHIVES", 2)
    deep = zipped({"in.zip": zipped({"c.txt": b"Text of c."}), "b.txt": b"Text of b."})
    for name in "abcdef":
        house.write(f"{name}.zip", deep)
    scratch, most = tmp_path / "scratch", 0
    ingestion = Ingestion(house.store, house.embedder, FakeCounter(), house.collection, scratch=scratch)
    events = []
    for event in ingestion.run([house.files]):
        events.append(event)
        most = max(most, len(list(scratch.iterdir())) if scratch.exists() else 0)
    assert sum(isinstance(event, FileResult) and event.status == "added" for event in events) == 6 * 4
    assert 2 <= most <= 4  # and those within them


def test_a_bug_of_the_store_costs_one_file(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.write("a.txt", "Text of a.")
    house.write("b.txt", "Text of b.")
    put = documents.Documents.put

    def broken(self: documents.Documents, writes: Sequence[Write]) -> None:
        if any(write.document.source.endswith("a.txt") for write in writes):
            raise ValueError("in the store")
        put(self, writes)

    monkeypatch.setattr(documents.Documents, "put", broken)
    assert statuses(house.run()) == {"files/a.txt": "failed", "files/b.txt": "added"}


def test_a_broken_and_an_empty_archive_are_told(house: House) -> None:
    house.write("broken.zip", b"PK no archive")
    house.write("empty.zip", zipped({}))
    report = house.run()
    assert statuses(report) == {"files/broken.zip": "failed", "files/empty.zip": "skipped"}
    assert all(told.reason for told in report.files)
    assert "none" not in house.store.names()


def test_an_email_is_a_document_and_its_attachments_are_too(house: House) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "The pump", "a@example.org", "b@example.org"
    message.set_content("The pump leaks.")
    message.add_attachment(b"Checked on Monday.", maintype="text", subtype="plain", filename="note.txt")
    path = house.write("mail.eml", message.as_bytes())
    report = house.run()
    assert statuses(report) == {"files/mail.eml": "added", "files/mail.eml/note.txt": "added"}
    assert result(report, "files/mail.eml").passages > 0
    assert {document.source for document in house.documents()} == {path.as_uri(), f"{path.as_uri()}/note.txt"}
    again = house.run()
    assert again.count("unchanged") == 2
    assert again.parsed == 0


def test_the_report_is_in_the_order_of_the_folder_whatever_was_done_first(house: House) -> None:
    house.write("a.txt", "Text of a.")
    house.write("b.pdf", "no PDF")
    house.write("c.zip", zipped({"z.txt": b"Text of z.", "b.pdf": b"no PDF"}))
    house.write("d.xyz", b"\0")
    events = house.events()
    assert [e.name for e in events if isinstance(e, FileResult)][:2] == ["files/d.xyz", "files/b.pdf"]
    report = events[-1]
    assert isinstance(report, Report)
    assert [name.partition("/")[2] for name in statuses(report)][:3] == ["d.xyz", "a.txt", "b.pdf"]
    assert {name.partition("/")[2] for name in list(statuses(report))[3:]} == {
        "c.zip",
        "c.zip/z.txt",
        "c.zip/b.pdf",
    }


async def test_cancelled_stepwise_lets_the_step_at_hand_finish_and_ends_the_events() -> None:
    done: list[str] = []
    within = threading.Event()

    def steps() -> Iterator[Any]:
        try:
            yield Found(1, 1)
            within.set()
            time.sleep(0.05)
            done.append("written")
            yield Found(2, 2)
        finally:
            done.append("ended")

    async def consume() -> None:
        async for _ in stepwise(steps()):
            pass

    running = asyncio.create_task(consume())
    await asyncio.to_thread(within.wait)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert done == ["written", "ended"]


def test_a_run_sees_what_happened_while_it_waited_for_its_turn(house: House) -> None:
    house.write("a.txt", "Text of a.")
    waiting = house.ingestion()  # before there is a collection
    house.run()
    *_, report = waiting.run([house.files])
    assert isinstance(report, Report)
    assert (report.count("unchanged"), report.embedded) == (1, 0)
    late = house.ingestion()
    house.store.drop(house.collection)
    *_, report = late.run([house.files])
    assert isinstance(report, Report)
    assert report.count("added") == 1


@pytest.mark.parametrize("name", ["../x", "A", ""])
def test_a_name_that_cannot_be_one_is_refused(house: House, name: str) -> None:
    with pytest.raises(e.BadName):
        Ingestion(house.store, house.embedder, FakeCounter(), name)


# --- removal --------------------------------------------------------------------------------------------------


@pytest.fixture
def full(house: House) -> House:
    for name in ("a.md", "sub/a.md", "sub/b.md", "subway.md", "other/sub/b.md"):
        house.write(name, f"# Title\n\nText of {name}.\n")
    house.run()
    return house


def removed(house: House, names: Sequence[str], folder: Path, everything: bool = False) -> set[str]:
    uploads = Uploads(house.files.parent)
    gone = catalog.removed(
        house.store, uploads, CollectionSettings(), house.collection, names, folder, everything=everything
    ).removed
    return {document.source.removeprefix(house.files.as_uri() + "/") for document in gone}


def test_removal_by_each_kind_of_name(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = full.files.as_uri()
    by_source = {document.source: document for document in full.documents()}
    cases: list[tuple[str, Path, set[str]]] = [
        ("a.md", full.files, {"a.md"}),
        ("./sub/../a.md", full.files, {"a.md"}),
        (str(full.files / "a.md"), Path("/elsewhere"), {"a.md"}),
        (f"{uri}/a.md", Path("/elsewhere"), {"a.md"}),
        (by_source[f"{uri}/a.md"].id, Path("/elsewhere"), {"a.md"}),
        ("files/a.md", Path("/elsewhere"), {"a.md"}),  # as it is listed
        ("sub/a.md", Path("/elsewhere"), {"sub/a.md"}),
        ("sub", full.files, {"sub/a.md", "sub/b.md"}),
        ("sub/", full.files, {"sub/a.md", "sub/b.md"}),
        (".", full.files, {source.removeprefix(uri + "/") for source in by_source}),
    ]  # fmt: skip
    for name, folder, expected in cases:
        assert removed(full, [name], folder) == expected, name
        assert len(full.documents()) == len(by_source) - len(expected)
        full.run()
    assert removed(full, ["sub", "sub/a.md", "a.md"], full.files) == {"sub/a.md", "sub/b.md", "a.md"}


def test_one_unknown_name_removes_nothing(full: House, tmp_path: Path) -> None:
    for names, kind, expected in [
        (["a.md", "nope.md"], e.DocumentNotFound, "nope.md"),
        (["a.md", ""], e.BadRequest, "empty name"),
        (["a.md", "  "], e.BadRequest, "empty name"),
        (["a.md", "~nobody-of-that-name/x"], e.BadRequest, "not a path"),
        (["a.md", "x\0"], e.BadRequest, "not a path"),
        ([], e.BadRequest, "Nothing was named"),
    ]:
        with pytest.raises(kind, match=expected) as caught:
            removed(full, names, full.files)
        assert caught.value.hint
    with pytest.raises(e.BadRequest, match=r"names 2 documents.*files/other/sub/b\.md.*files/sub/b\.md"):
        removed(full, ["sub/b.md"], tmp_path)  # the listed name of two files
    with pytest.raises(e.BadRequest, match="both names and --all"):
        removed(full, ["a.md"], full.files, everything=True)
    assert len(full.documents()) == 5


def test_removal_of_a_file_that_is_gone_from_the_disk(full: House) -> None:
    (full.files / "a.md").unlink()
    assert removed(full, ["a.md"], full.files) == {"a.md"}


def test_all_drops_the_collection_even_of_another_embedder(full: House, tmp_path: Path) -> None:
    assert len(removed(full, [], Path("/"), everything=True)) == 5
    with pytest.raises(e.CollectionNotFound):
        full.documents()
    with pytest.raises(e.CollectionNotFound):
        removed(full, [], Path("/"), everything=True)
    old = EdgeStore(tmp_path / "own", embedder="an older one", dimension=FakeEmbedder.dimension)
    old.open("x", create=True)
    old.close()
    store = EdgeStore(tmp_path / "own", embedder=FakeEmbedder.name, dimension=FakeEmbedder.dimension)
    with pytest.raises(e.FingerprintMismatch, match="openbook reindex --collection x"):
        store.open("x")
    told = str(catalog.sizes(store, FakeEmbedder())["x"].error)
    assert "older" in told
    assert "openbook reindex --collection x" in told
    gone = catalog.removed(
        store, Uploads(tmp_path), CollectionSettings(), "x", [], Path("/"), everything=True
    )
    assert gone.removed == ()
    assert store.names() == []


def test_check_there_takes_what_is_there(tmp_path: Path) -> None:
    check_there([tmp_path, Path()])


def pruned_run(house: House) -> Report:
    events = pruned(house.ingestion().run([house.files]), house.store, house.collection, Scope([house.files]))
    *_, report = events
    assert isinstance(report, Report)
    return report


def test_what_is_no_longer_in_an_archive_goes_unless_something_in_it_was_left_out(house: House) -> None:
    def archived(**files: str) -> None:
        with zipfile.ZipFile(house.files / "a.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(name.replace("_", "."), text)

    archived(one_txt="One.", two_txt="Two.")
    house.run()
    archived(one_txt="One.", three_xyz="\0\0")
    kept = pruned_run(house)
    assert kept.count("removed") == 0
    archived(one_txt="One.")
    assert {result.name for result in pruned_run(house).files if result.status == "removed"} == {
        "a.zip/two.txt"
    }
    assert [document.name for document in house.documents()] == ["a.zip/one.txt"]


@pytest.mark.parametrize(
    ("name", "status"),
    [("a.png", "skipped"), ("a.html", "skipped"), ("a.py", "skipped"), ("a.json", "skipped"),
     ("a.xhtml", "skipped"), ("a.pdf", "failed"), ("a.docx", "failed")],
)  # fmt: skip
def test_what_holds_no_words_by_nature_is_no_failure_of_a_folder(
    house: House, monkeypatch: pytest.MonkeyPatch, name: str, status: str
) -> None:
    def wordless(*_: object) -> Parsed:
        raise e.SourceEmpty("no text", "")

    monkeypatch.setattr(workers, "parse", wordless)
    file = house.write(name, b"<img src='{{ url }}'>")
    report = house.run()
    assert statuses(report) == {f"files/{name}": status}
    assert report.files[0].reason == "no text"
    assert statuses(house.run(file)) == {name: "failed"}
