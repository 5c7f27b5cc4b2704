"""A data folder of before is brought to the present format, once, and one of a later openbook is left alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from command import Ran, in_process
from fakes import FakeEmbedder
from ingest.backup.restore import restore
from ingest.backup.snapshot import back_up
from rag import data_format, owner
from rag.answers import Answers
from rag.conversations import Conversations
from rag.data_format import FILE, FORMAT, bring_up
from rag.errors import DataTooNew, StoreUnavailable
from rag.store.edge import EdgeStore
from rag.store.points import META_ID, Point

# As they were before there were tenants.
CONVERSATIONS = """
CREATE TABLE conversations (
    id TEXT PRIMARY KEY, created_at TEXT NOT NULL, used_at TEXT NOT NULL, turns INTEGER NOT NULL, title TEXT NOT NULL
);
INSERT INTO conversations VALUES ('0123456789abcdef0123456789abcdef', '2026-11-01T10:00:00.000000+00:00',
    '2026-11-20T10:00:00.000000+00:00', 0, 'Who opens the gate?');
"""
ANSWERS = """
CREATE TABLE answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL, collections TEXT NOT NULL,
    question TEXT NOT NULL, answerable INTEGER NOT NULL, answer TEXT NOT NULL
);
INSERT INTO answers VALUES (1, 'fedcba9876543210fedcba9876543210', '2026-11-20T10:00:00+00:00', '["team"]',
    'Who opens the gate?', 1, '{}');
"""


def made_before(folder: Path) -> Path:
    folder.mkdir()
    for file, script in (("conversations.db", CONVERSATIONS), ("answers.db", ANSWERS)):
        with closing(sqlite3.connect(folder / file)) as database:
            database.executescript(script)
    return folder


def told(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / FILE).read_text())
    return found


def questions(folder: Path) -> list[str]:
    """Of the owner, from both files."""
    conversations, answers = Conversations(folder / "conversations.db"), Answers(folder / "answers.db", 10)
    with closing(conversations), closing(answers):
        listed = [each.title for each in conversations.newest()]
        return listed + [each.question for each in answers.newest().answers]


def test_a_new_folder_has_the_present_format(tmp_path: Path) -> None:
    with owner.claim(tmp_path / "new", "a test"):
        pass
    assert told(tmp_path / "new") == {"format": FORMAT, "openbook": version("openbook")}


def test_a_folder_of_before_is_brought_up_when_it_is_owned(tmp_path: Path) -> None:
    folder = made_before(tmp_path / "data")
    with owner.claim(folder, "a test"):
        assert questions(folder) == ["Who opens the gate?"] * 2
    assert told(folder)["format"] == FORMAT


def test_each_migration_runs_once_in_order(tmp_path: Path) -> None:
    ran: list[int] = []
    steps = [lambda _, number=number: ran.append(number) for number in range(3)]
    bring_up(tmp_path, steps[:2])
    assert (ran, told(tmp_path)["format"]) == ([0, 1], 2)
    bring_up(tmp_path, steps)
    bring_up(tmp_path, steps)
    assert (ran, told(tmp_path)["format"]) == ([0, 1, 2], 3)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("where", range(6))
def test_one_that_is_killed_runs_again_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: int
) -> None:
    """Before each file that the real migration opens, and around each write of the number."""
    folder = made_before(tmp_path / "data")
    steps = 0

    def counted(work: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps == where:
                raise Killed
            return work(*arguments, **options)

        return step

    with monkeypatch.context() as dying:
        dying.setattr("rag.data_format.sqlite3.connect", counted(sqlite3.connect))
        dying.setattr("rag.durable.os.fsync", counted(lambda _: None))
        try:
            bring_up(folder)
        except Killed:
            pass
        else:
            assert where in (0, 5)
    bring_up(folder)
    assert questions(folder) == ["Who opens the gate?"] * 2
    assert told(folder)["format"] == FORMAT
    assert not (folder / "format.new").exists()


def later(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps({"format": FORMAT + 1, "openbook": "9.8.7"}))
    return folder


def test_a_later_folder_is_left_alone(tmp_path: Path) -> None:
    folder = later(made_before(tmp_path / "data"))
    before = (folder / "conversations.db").read_bytes()
    with pytest.raises(DataTooNew) as refused, owner.claim(folder, "a test"):
        pass
    message = refused.value.message
    assert f"has format {FORMAT + 1}, written by openbook 9.8.7" in message
    assert f"this is openbook {version('openbook')}, which knows up to {FORMAT}" in message
    assert "restore a backup" in refused.value.hint
    assert (folder / "conversations.db").read_bytes() == before
    assert owner.find(folder) is None  # the lock was given back


@pytest.mark.parametrize("command", [["documents"], ["keys", "list"], ["doctor"]])
def test_commands_say_so(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: list[str],
) -> None:
    monkeypatch.setattr("api.doctor.embedder_of", lambda _: FakeEmbedder())
    monkeypatch.setattr("rag.compose.embedder_of", lambda _: FakeEmbedder())
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(later(tmp_path / "data")))
    ran: Ran = in_process(monkeypatch, capsys)(*command)
    assert ran.code == 1
    assert "written by openbook 9.8.7" in (ran.out + ran.err).replace("\n", " ")


@pytest.mark.parametrize("text", ["", "[]", '{"format": "x"}', "{}"])
def test_a_number_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StoreUnavailable, match=r"format\.json does not say which format"):
        bring_up(tmp_path)


def test_a_migration_that_fails_says_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "answers.db").write_bytes(b"no database at all, but long enough to be taken for one" * 20)
    with pytest.raises(StoreUnavailable, match=f"cannot be brought from format 0 to {FORMAT}"):
        bring_up(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_a_collection_of_a_later_format_is_refused(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path, embedder="e", dimension=4)
    points = store.open("team", create=True)._points  # type: ignore[attr-defined]
    points.upsert([Point(META_ID, {"kind": "meta", "format": 99, "embedder": "e", "dimension": 4})])
    store.close()
    with pytest.raises(DataTooNew, match="Collection 'team' has format 99"):
        EdgeStore(tmp_path, embedder="e", dimension=4).open("team")


def test_a_backup_of_before_is_brought_up_as_it_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EdgeStore(tmp_path / "store", embedder="e", dimension=4)
    with closing(store):
        monkeypatch.setattr(data_format, "FORMAT", 0)
        back_up(made_before(tmp_path / "old"), store, "e", 4, tmp_path / "old.tar")
        monkeypatch.setattr(data_format, "FORMAT", FORMAT + 1)
        back_up(tmp_path / "old", store, "e", 4, tmp_path / "later.tar")
        monkeypatch.undo()
        with owner.claim(tmp_path / "new", "a test"):
            with pytest.raises(DataTooNew, match="The backup has format"):
                restore(tmp_path / "new", store, "e", 4, tmp_path / "later.tar")
            assert restore(tmp_path / "new", store, "e", 4, tmp_path / "old.tar").files == 2
        assert questions(tmp_path / "new") == ["Who opens the gate?"] * 2
        assert told(tmp_path / "new")["format"] == FORMAT
