"""A restore that is killed anywhere is done again by the same command, and nobody's collection or file is touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fake_engine import fake_store
from fakes import FakeEmbedder, document, passages
from ingest.backup import restore as restoring
from rag import durable
from rag.errors import CollectionExists, DiskFull, NotEmpty, StoreUnavailable
from rag.store.collection import Collection
from rag.store.edge import EdgeStore
from test_backup import backed_up, brought_back

LONGEST = "a" * 63
FILES = {
    "files/team/uploads/sent.md": "# Sent\n",
    "files/team/uploads/deep/" + "n" * 252 + ".md": "# Long\n",
    "beginnings.jsonl": "{}\n",
}
ASIDE = ".restoring"


def put(store: EdgeStore, name: str, text: str) -> None:
    doc = document(f"file:///{text}", collection=name)
    tiles = passages(doc, text)
    store.open(name, create=True).put(doc, tiles, FakeEmbedder().embed([text]))


def texts(store: EdgeStore) -> dict[str, list[str]]:
    indexes = {name: store.open(name) for name in store.names()}
    return {
        name: [p.text for d in index.documents() for p in index.read(d.id)] for name, index in indexes.items()
    }


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: path.read_text() for name, path in named.items() if name.partition("/")[0] != "collections"}


def made(folder: Path, collections: dict[str, str], archive: Path) -> Path:
    """A backup of a data folder with these collections, a document each, and FILES."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with closing(fake_store(folder)) as store:
        for name, text in collections.items():
            put(store, name, text)
        return backed_up(folder, store, archive)


COLLECTIONS = {LONGEST: "battery", "team": "gauge"}
WHOLE = {name: [text] for name, text in COLLECTIONS.items()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backup")
    return made(folder / "data", COLLECTIONS, folder / "all.tar")


class Killed(BaseException): ...


STEPS = (
    (EdgeStore, "open"),
    (EdgeStore, "rename"),
    (EdgeStore, "drop"),
    (Collection, "put_all"),
    (Path, "mkdir"),
    (Path, "replace"),
    (durable, "write"),
    (restoring, "migrate"),
    (shutil, "copyfileobj"),
    (shutil, "rmtree"),
)


def killed_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """From this step on nothing is done any more, as of a process that is gone."""
    steps = count()

    def killing(whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*of: Any, **more: Any) -> Any:
            if next(steps) >= step:
                raise Killed
            return whole(*of, **more)

        return call

    for owner, name in STEPS:
        patch.setattr(owner, name, killing(getattr(owner, name)))


@pytest.mark.process  # of which it starts none; but it takes half a minute
def test_killed_anywhere_it_is_done_again(archive: Path, tmp_path: Path) -> None:
    for step in count():
        new = tmp_path / str(step)
        with closing(fake_store(new)) as store, pytest.MonkeyPatch.context() as patch:
            killed_at(step, patch)
            try:
                brought_back(new, store, archive)
                was_killed = False
            except Killed:
                was_killed = True
        with closing(fake_store(new)) as store:
            if was_killed:
                brought_back(new, store, archive)
            assert texts(store) == WHOLE, step
        assert files(new) == FILES, step
        assert not (new / ASIDE).exists()
        shutil.rmtree(new)
        if not was_killed:
            break
    assert step > 20


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new"


@pytest.fixture
def store(new: Path) -> Iterator[EdgeStore]:
    with closing(fake_store(new)) as store:
        yield store


def interrupted(new: Path, store: EdgeStore, archive: Path) -> None:
    """When all was there, and the first collection had its name."""
    whole, named = store.rename, count()

    def rename(old: str, to: str) -> None:
        if next(named):
            raise Killed
        whole(old, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "rename", rename)
        with pytest.raises(Killed):
            brought_back(new, store, archive)


def test_collections_of_any_name_are_left_alone(new: Path, store: EdgeStore, archive: Path) -> None:
    for name in ("team.restored", "restoring-0"):
        put(store, name, "mine")
    brought_back(new, store, archive)
    assert texts(store) == WHOLE | {"team.restored": ["mine"], "restoring-0": ["mine"]}


def test_what_cannot_be_written_leaves_nothing(
    new: Path, store: EdgeStore, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, error in ((28, DiskFull), (30, StoreUnavailable)):

        def failing(*_of: Any, number: int = number) -> None:
            raise OSError(number, "It went wrong")

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfileobj", failing)
            with pytest.raises(error, match=str(new)) as raised:
                brought_back(new, store, archive)
        assert "OPENBOOK_DATA_DIR" in raised.value.hint
        assert (store.names(), files(new), (new / ASIDE).exists()) == ([], {}, False)
    brought_back(new, store, archive)
    assert texts(store) == WHOLE


def test_what_came_since_an_interruption_is_not_replaced(new: Path, store: EdgeStore, archive: Path) -> None:
    interrupted(new, store, archive)
    put(store, "team", "mine")
    with pytest.raises(CollectionExists, match="'team'"):
        brought_back(new, store, archive)
    assert texts(store)["team"] == ["mine"]
    store.drop("team")
    (new / "beginnings.jsonl").write_text("mine")
    with pytest.raises(NotEmpty, match="beginnings"):
        brought_back(new, store, archive)
    assert (new / "beginnings.jsonl").read_text() == "mine"
    (new / "beginnings.jsonl").unlink()
    brought_back(new, store, archive)
    assert (texts(store), files(new)) == (WHOLE, FILES)


def test_another_backup_waits_for_the_end_of_an_interrupted_one(
    new: Path, store: EdgeStore, archive: Path, tmp_path: Path
) -> None:
    interrupted(new, store, archive)
    other = made(tmp_path / "other", {"crew": "surge"}, tmp_path / "other.tar")
    before = texts(store), files(new)
    with pytest.raises(NotEmpty, match="another backup was interrupted") as raised:
        brought_back(new, store, other)
    assert "Restore that one again" in raised.value.hint
    assert (texts(store), files(new)) == before
    brought_back(new, store, archive)
    assert texts(store) == WHOLE


def test_a_record_that_says_nothing_is_told(new: Path, store: EdgeStore, archive: Path) -> None:
    (new / ASIDE).mkdir()
    (new / ASIDE / "restore.json").write_text("{")
    with pytest.raises(StoreUnavailable, match=r"restore\.json"):
        brought_back(new, store, archive)
    assert store.names() == []
