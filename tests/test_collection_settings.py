from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.collection_settings import FILE, CollectionSettings
from rag.errors import StoreUnavailable


def test_what_is_set_lasts_and_can_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "data" / FILE
    settings = CollectionSettings(path)
    assert (settings.get("a", "pinned"), path.exists()) == (None, False)
    settings.set("a", "target", 2000)
    settings.set("a", "pinned", ["x", "y"])
    settings.set("b", "target", 0)
    again = CollectionSettings(path)
    assert (again.get("a", "target"), again.get("a", "pinned"), again.get("b", "target")) == (
        2000,
        ["x", "y"],
        0,
    )
    assert again.values("target", ("b", "nowhere", "a")) == [0, 2000]
    again.set("a", "target", None)
    assert CollectionSettings(path).get("a", "target") is None
    assert CollectionSettings(path).get("a", "pinned") == ["x", "y"]
    again.forget("a")
    assert CollectionSettings(path).get("a", "pinned") is None
    assert CollectionSettings(path).get("b", "target") == 0
    assert [each.name for each in path.parent.iterdir()] == [FILE]


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = CollectionSettings()
    settings.set("a", "target", 1)
    assert settings.get("a", "target") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', "\xff"])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE
    path.write_bytes(text.encode("latin-1"))
    uses: tuple[Callable[[CollectionSettings], object], ...] = (
        lambda settings: settings.get("a", "target"),
        lambda settings: settings.set("a", "target", 1),
        lambda settings: settings.forget("a"),
    )
    for use in uses:
        with pytest.raises(StoreUnavailable, match=FILE):
            use(CollectionSettings(path))
    assert path.read_bytes() == text.encode("latin-1")


def test_what_cannot_be_written_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CollectionSettings(tmp_path / FILE)
    settings.set("a", "target", 1)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        settings.set("a", "target", 2)
    assert settings.get("a", "target") == CollectionSettings(tmp_path / FILE).get("a", "target") == 1
