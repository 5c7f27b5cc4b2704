"""A collection keeps all that is known of it under another name, and whatever breaks off a rename, it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_engine import fake_store
from fakes import FakeEmbedder, document, passages
from ingest.documents import id_of
from rag.collection_settings import FILE, CollectionSettings
from rag.errors import CollectionExists, CollectionNotFound, StoreUnavailable
from rag.renaming import finish_renaming, rename
from rag.store.edge import EdgeStore
from rag.usual import Usual


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    store = fake_store(tmp_path)
    doc = document(collection="old")
    tiles = passages(doc, "words")
    store.open("old", create=True).put(doc, tiles, FakeEmbedder().embed(["words"]))
    return store


@pytest.fixture
def settings(tmp_path: Path) -> CollectionSettings:
    settings = CollectionSettings(tmp_path / FILE)
    settings.set("old", "target_ttft_ms", 2000)
    return settings


def test_settings_and_identity_follow_and_no_two_share_one(
    store: EdgeStore, settings: CollectionSettings, tmp_path: Path
) -> None:
    rename(store, settings, "old", "new")
    settings = CollectionSettings(tmp_path / FILE)
    assert store.names() == ["new"]
    assert (settings.get("new", "target_ttft_ms"), settings.get("old", "target_ttft_ms")) == (2000, None)
    assert (settings.identity("new"), settings.identity("old")) == ("old", "new")
    assert settings.renaming() is None
    store.open("old", create=True)
    rename(store, settings, "new", "third")
    settings.forget("third")
    taken = [settings.identity(name) for name in ("old", "new", "third", "fourth")]
    assert taken[2] == "old"
    assert len(set(taken)) == 4
    assert id_of(settings.identity("third"), "file:///a") == id_of("old", "file:///a")


def test_there_and_back_leaves_nothing(
    store: EdgeStore, settings: CollectionSettings, tmp_path: Path
) -> None:
    before = (tmp_path / FILE).read_text()
    rename(store, settings, "old", "new")
    rename(store, settings, "new", "old")
    assert (tmp_path / FILE).read_text() == before


def test_names_are_checked_before_anything_is_done(
    store: EdgeStore, settings: CollectionSettings, tmp_path: Path
) -> None:
    store.open("taken", create=True)
    before = (tmp_path / FILE).read_text()
    with pytest.raises(CollectionExists):
        rename(store, settings, "old", "taken")
    with pytest.raises(CollectionNotFound):
        rename(store, settings, "absent", "new")
    assert (tmp_path / FILE).read_text() == before


def test_a_store_that_fails_leaves_the_old_name(
    store: EdgeStore, settings: CollectionSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = (tmp_path / FILE).read_text()

    def failing(_old: str, _new: str) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "rename", failing)
    with pytest.raises(StoreUnavailable, match="away"):
        rename(store, settings, "old", "new")
    assert (store.names(), (tmp_path / FILE).read_text()) == (["old"], before)


@pytest.mark.parametrize("done", [False, True])
def test_what_a_crash_broke_off_is_finished(
    store: EdgeStore,
    settings: CollectionSettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    done: bool,
) -> None:
    whole = store.rename

    def crashing(old: str, new: str) -> None:
        if done:
            whole(old, new)
        raise InterruptedError

    monkeypatch.setattr(store, "rename", crashing)
    with pytest.raises(InterruptedError):
        rename(store, settings, "old", "new")
    monkeypatch.undo()
    again = CollectionSettings(tmp_path / FILE)
    finish_renaming(store, again)
    assert store.names() == ["new"]
    assert (again.identity("new"), again.get("new", "target_ttft_ms"), again.renaming()) == (
        "old",
        2000,
        None,
    )
    finish_renaming(store, again)
    assert store.names() == ["new"]


def test_what_questions_begin_with_follows(tmp_path: Path) -> None:
    usual = Usual(tmp_path / "beginnings.jsonl")
    for _ in range(2):
        usual.note(["old", "other"], ())
    usual.rename("old", "new")
    assert "old" not in (tmp_path / "beginnings.jsonl").read_text()
    assert Usual(tmp_path / "beginnings.jsonl")._load()[0].collections == ("new", "other")
