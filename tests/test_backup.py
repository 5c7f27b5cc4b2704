"""Backup and restore: all of it or nothing, while others write, from one kind of store into the other."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from fake_engine import fake_engine, fake_store, ingested
from fakes import FakeCounter, FakeEmbedder
from house import until
from ingest.backup.archive import MANIFEST, checked
from ingest.backup.export import export
from ingest.backup.restore import restore
from ingest.backup.snapshot import back_up
from ingest.pipeline import Ingestion
from ingest.workers import InProcess
from rag.collection_settings import FILE
from rag.errors import BackupUnreadable, BadRequest, CollectionExists, DiskFull, FingerprintMismatch, NotEmpty
from rag.ports import Index, Store
from rag.store.server import ServerStore
from rest import OWNER
from service_in_process import serving

EMBEDDER = FakeEmbedder()


def backed_up(folder: Path, store: Store, path: Path) -> Path:
    back_up(folder, store, EMBEDDER.name, EMBEDDER.dimension, path)
    return path


def brought_back(folder: Path, store: Store, path: Path) -> None:
    restore(folder, store, EMBEDDER.name, EMBEDDER.dimension, path)


def state(index: Index) -> dict[str, object]:
    """All that questions can find."""
    documents = index.documents()
    found = {}
    for text in ("battery", "gauge", "surge", "config"):
        hits = index.candidates(text, EMBEDDER.embed_query(text), 20)
        found[text] = [(hit.passage.id, round(hit.cosine, 5), round(hit.bm25, 4)) for hit in hits]
    return {
        "documents": documents,
        "passages": [index.read(document.id) for document in documents],
        "outlines": index.outlines(documents),
        "found": found,
    }


def found(index: Index) -> list[set[str]]:
    vectors = ((text, EMBEDDER.embed_query(text)) for text in ("battery", "gauge surge", "config"))
    return [{hit.passage.id for hit in index.candidates(text, vector, 20)} for text, vector in vectors]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in ("gauge", "surge", "gate"):
        text = "".join(f"## Part {at}\n\nThe battery of the {name} lasts {at} days.\n\n" for at in range(5))
        (folder / f"{name}.md").write_text(f"# {name}\n\n{text}")
    (folder / "app.py").write_text("class Config:\n    def load(self):\n        return Config()\n")
    return folder


@pytest.fixture
def data(tmp_path: Path, files: Path) -> Path:
    """A data folder with everything, and its backup beside it."""
    folder = tmp_path / "data"
    with fake_engine(folder) as engine:
        ingested(engine, files, collection="team")
        ingested(engine, files / "gate.md", collection="other")
        engine.rag.collection_settings.set("team", "target_ttft_ms", 500)
        engine.rag.conversations.create()
        (folder / "logs").mkdir()
        (folder / "logs" / "vllm.log").write_text("noise")
        (folder / "uploads").mkdir()
        (folder / "uploads" / "sent.md").write_text("# Sent\n")
        backed_up(folder, engine.rag.store, tmp_path / "all.tar")
    return folder


def test_what_is_restored_finds_the_same(data: Path, tmp_path: Path) -> None:
    before, after = fake_store(data), fake_store(tmp_path / "new")
    with closing(before), closing(after):
        brought_back(tmp_path / "new", after, tmp_path / "all.tar")
        assert after.names() == before.names() == ["other", "team"]
        for name in before.names():
            assert state(after.open(name)) == state(before.open(name))
        team = after.open("team")
        assert team.outlines(team.documents())
    assert (tmp_path / "new" / FILE).read_text() == (data / FILE).read_text()
    assert (tmp_path / "new" / "uploads" / "sent.md").read_text() == "# Sent\n"
    assert not (tmp_path / "new" / "logs").exists()
    with closing(sqlite3.connect(tmp_path / "new" / "conversations.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.process
def test_the_other_kind_of_store_finds_the_same(data: Path, tmp_path: Path) -> None:
    from qdrant_client import QdrantClient

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Payload indexes have no effect", category=UserWarning)
        server = ServerStore(QdrantClient(":memory:"), embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
        with closing(fake_store(data)) as edge:
            brought_back(tmp_path / "new", server, tmp_path / "all.tar")
            there, here = server.open("team"), edge.open("team")
            for document in here.documents():
                assert there.read(document.id) == here.read(document.id)
            assert there.outlines(there.documents()) == here.outlines(here.documents())
            assert found(there) == found(here)
        again = backed_up(tmp_path / "new", server, tmp_path / "server.tar")
        with closing(fake_store(tmp_path / "back")) as edge:
            brought_back(tmp_path / "back", edge, again)
            assert edge.open("team").documents() == server.open("team").documents()


@pytest.mark.process
def test_under_writes_each_document_is_whole(
    data: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ingest.pipeline.Workers", lambda **_: InProcess()
    )  # or all is saved before the first write
    with closing(fake_store(data)) as store:
        ended = threading.Event()
        written: list[int] = []

        def write() -> None:
            while not ended.is_set():
                at = len(written) + 1
                text = "".join(f"## Part {n}\n\nVersion {at} of part {n}.\n\n" for n in range(1 + at % 7))
                (files / "gauge.md").write_text(f"# gauge\n\n{text}")
                list(Ingestion(store, EMBEDDER, FakeCounter(), "team").run([files]))
                written.append(at)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            made: list[Path] = []
            for at in range(5):
                until(lambda: len(written) > len(made))
                made.append(backed_up(data, store, tmp_path / f"{at}.tar"))
        finally:
            ended.set()
            writer.join()
    versions = set()
    for at, path in enumerate(made):
        with closing(fake_store(tmp_path / f"new-{at}")) as after:
            brought_back(tmp_path / f"new-{at}", after, path)
            index = after.open("team")
            assert index.documents()
            for document in index.documents():
                passages = index.read(document.id)
                assert len(passages) == document.passages
                assert sum(len(passage.text) for passage in passages) == document.characters
                told = [
                    line.split()[1]
                    for line in "".join(p.text for p in passages).splitlines()
                    if "Version" in line
                ]
                assert len(set(told)) <= 1
                versions.update(told)
    assert len(versions) > 1, versions  # they were saved while others were written


def rewritten(path: Path, change: str) -> None:
    """The same tar, in which something is not as it was."""
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for name, content in changed(members, change):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def changed(members: list[tuple[str, bytes]], change: str) -> Iterator[tuple[str, bytes]]:
    for name, content in members:
        last = name == MANIFEST
        if change == "no end" and last:
            continue
        if change == "a part" and name.endswith(".jsonl"):
            continue
        if change == "a byte" and name.endswith(".npy"):
            yield name, content[:-1] + bytes([content[-1] ^ 1])
        elif change == "newer" and last:
            yield name, json.dumps({**json.loads(content), "format": 99}).encode()
        elif change == "outside":
            yield (
                name.replace("files/uploads", "files/../.."),
                content.replace(b"files/uploads", b"files/../.."),
            )
        else:
            yield name, content


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("no end", "cut short"),
        ("a byte", r"damaged.*npy"),
        ("a part", r"damaged.*jsonl"),
        ("newer", "that this one does not know"),
        ("outside", "no place in a data folder"),
    ],
)
def test_a_damaged_backup_changes_nothing(data: Path, tmp_path: Path, change: str, told: str) -> None:
    rewritten(tmp_path / "all.tar", change)
    with closing(fake_store(tmp_path / "new")) as store:
        with pytest.raises(BackupUnreadable, match=told):
            brought_back(tmp_path / "new", store, tmp_path / "all.tar")
        assert store.names() == []
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["collections"]


def test_what_is_no_backup_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupUnreadable, match="cannot be read"):
        checked(tmp_path / "none.tar")
    (tmp_path / "text.tar").write_text("hello")
    with pytest.raises(BackupUnreadable, match="cannot be read"):
        checked(tmp_path / "text.tar")


def test_nothing_is_replaced(data: Path, tmp_path: Path) -> None:
    with closing(fake_store(data)) as store, pytest.raises(CollectionExists, match="other"):
        brought_back(data, store, tmp_path / "all.tar")
    new = tmp_path / "new"
    with closing(fake_store(new)) as store:
        (new / FILE).write_text("{}")
        with pytest.raises(NotEmpty, match=FILE):
            brought_back(new, store, tmp_path / "all.tar")
        assert store.names() == []
        with pytest.raises(FingerprintMismatch, match="OPENBOOK_EMBEDDER=fake-bag-of-words"):
            restore(new, store, "another", 64, tmp_path / "all.tar")


def test_a_full_disk_leaves_no_file(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with closing(fake_store(data)) as store, pytest.raises(DiskFull):
        backed_up(data, store, tmp_path / "more.tar")
    assert not list(tmp_path.glob("more*"))


def test_a_manifest_tells_what_is_in_it(data: Path, tmp_path: Path) -> None:
    manifest = checked(tmp_path / "all.tar")
    assert manifest.collections["other"].documents == 1
    assert "files/conversations.db" in manifest.members
    assert not [name for name in manifest.members if "owner" in name or "log" in name]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_passages_are_exported_with_their_vectors(data: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"team.{kind}"
    with closing(fake_store(data)) as store:
        index = store.open("team")
        count = export(index, path)
        passages = {p.id: p for d in index.documents() for p in index.read(d.id)}
        vectors = {p.id: index.vectors([p])[0] for p in passages.values()}
    if kind == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        from pyarrow import parquet

        rows = parquet.read_table(path).to_pylist()
    assert count == len(rows) == len(passages)
    for row in rows:
        assert row["text"] == passages[row["id"]].text
        assert row["section"] == list(passages[row["id"]].section)
        assert np.allclose(row["vector"], vectors[row["id"]])


def test_a_kind_of_file_that_is_not_known_is_told(data: Path, tmp_path: Path) -> None:
    with closing(fake_store(data)) as store:
        with pytest.raises(BadRequest, match=r"\.parquet"):
            export(store.open("team"), tmp_path / "team.xlsx")
        with pytest.raises(BadRequest, match="cannot be written"):
            export(store.open("team"), tmp_path / "none" / "team.jsonl")


@pytest.mark.process
async def test_the_service_makes_one_for_its_owner(tmp_path: Path, files: Path) -> None:
    with fake_engine(tmp_path / "data") as engine:
        ingested(engine, files, collection="team")
        async with serving(engine) as app:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                body = {"path": str(tmp_path / "all.tar")}
                assert (await client.post("/v1/backup", json=body)).status_code == 401
                relative = await client.post("/v1/backup", json={"path": "all.tar"}, headers=OWNER)
                assert relative.status_code == 400
                done = await client.post("/v1/backup", json=body, headers=OWNER)
                assert done.status_code == 200, done.text
    assert done.json()["collections"]["team"]["documents"] == 4
    assert checked(tmp_path / "all.tar").collections["team"].documents == 4
