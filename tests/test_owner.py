from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from rag import owner
from rag.errors import BadSetting, DataFolderInUse
from rag.owner import Record, claim, find

OTHER = """
import sys
from pathlib import Path
from rag import owner
with owner.claim(Path(sys.argv[1]), "openbook serve"):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_RETRY_S", 0.05)


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder until its standard input ends."""
    command = [sys.executable, "-c", OTHER, str(folder)]
    root = Path(owner.__file__).resolve().parents[1]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "mine\n"
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def as_a_user() -> Iterator[None]:
    """Root may do anything; a test of what is forbidden needs someone else."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_the_owner_is_found_while_it_owns_and_not_after(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    assert find(folder) is None
    with claim(folder, "openbook serve") as mine:
        assert find(folder) == mine.record
        assert (mine.record.pid, mine.record.doing, mine.record.url) == (os.getpid(), "openbook serve", None)
        assert len(mine.record.token) >= 32
        mine.announce("http://127.0.0.1:8080")
        found = find(folder)
        assert found == mine.record
        assert found.url == "http://127.0.0.1:8080"
    assert find(folder) is None
    assert not (folder / "owner.json").exists()
    with claim(folder, "again") as again:
        assert again.record.token != mine.record.token


def test_the_record_is_for_this_user_only_whatever_a_crash_left(tmp_path: Path) -> None:
    for name in ("owner.json", "owner.json.new"):
        (tmp_path / name).write_text("stale")
        (tmp_path / name).chmod(0o666)
    with claim(tmp_path, "x") as mine:
        assert stat.S_IMODE((tmp_path / "owner.json").stat().st_mode) == 0o600
        assert json.loads((tmp_path / "owner.json").read_text())["token"] == mine.record.token
        assert not (tmp_path / "owner.json.new").exists()


def test_the_record_goes_also_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"), claim(tmp_path, "x"):
        raise OSError("disk full")  # an error of the work is no error of the folder
    assert not (tmp_path / "owner.json").exists()
    with claim(tmp_path, "x"):
        (tmp_path / "owner.json").unlink()
    assert find(tmp_path) is None


def test_a_second_claim_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    with claim(tmp_path, "openbook serve") as mine:
        with (
            pytest.raises(DataFolderInUse, match=rf"process {os.getpid()} \(openbook serve\)"),
            claim(tmp_path, "x"),
        ):
            pass
        assert find(tmp_path) == mine.record


def test_another_process_is_named_and_its_crash_frees_the_folder(tmp_path: Path) -> None:
    with other_process(tmp_path) as process:
        named = rf"process {process.pid} \(openbook serve\).*kill {process.pid}"
        with pytest.raises(DataFolderInUse, match=named), claim(tmp_path, "openbook ask"):
            pass
        found = find(tmp_path)
        assert found
        assert (found.pid, found.doing) == (process.pid, "openbook serve")
        process.kill()
        process.wait()
        assert (tmp_path / "owner.json").exists(), "a crash cleans nothing up"
        assert find(tmp_path) is None
        with claim(tmp_path, "openbook ask") as mine:
            assert find(tmp_path) == mine.record


def test_what_a_crash_left_is_not_taken_for_the_next_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next owner has the lock, and has not written its record yet."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = Record(gone.pid, "openbook serve", "http://127.0.0.1:8080", "old")
    with claim(tmp_path, "openbook serve") as mine:
        (tmp_path / "owner.json").write_text(json.dumps(asdict(left)))
        monkeypatch.setattr(time, "sleep", lambda _: mine.announce("http://127.0.0.1:8081"))
        assert find(tmp_path) == mine.record
        (tmp_path / "owner.json").write_text(json.dumps(asdict(left)))
        monkeypatch.setattr(time, "sleep", lambda _: None)
        assert find(tmp_path) == left, "an owner in another container looks so, too"


@pytest.mark.parametrize(
    "content",
    [
        '{"pid": "1", "doing": "x"}',
        "",
        "{",
        "[]",
        '{"pid": 1}',
        '{"pid": 1, "doing": "x", "new": 2}',
        "\udcff",
    ],
)
def test_an_owner_without_a_readable_record_is_an_owner(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with claim(tmp_path, "x"):
        (tmp_path / "owner.json").write_text(content, errors="surrogateescape")
        assert find(tmp_path) == Record(0, "unknown")
        with (
            pytest.raises(DataFolderInUse, match="in use by another process") as caught,
            claim(tmp_path, "y"),
        ):
            pass
        assert "kill" not in caught.value.hint


def test_looking_does_not_disturb(tmp_path: Path) -> None:
    for _ in range(3):
        assert find(tmp_path) is None
        assert list(tmp_path.iterdir()) == []
    with claim(tmp_path, "x"):
        pass
    assert find(tmp_path) is None
    with claim(tmp_path, "y"):
        pass


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_a_folder_that_may_not_be_read_is_a_bad_setting(tmp_path: Path, inside: str) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0)
    try:
        with as_a_user():
            assert find(locked / inside) is None
            with (
                pytest.raises(BadSetting, match=r"cannot be used.*OPENBOOK_DATA_DIR"),
                claim(locked / inside, "x"),
            ):
                pass
    finally:
        locked.chmod(0o700)


def test_a_file_in_place_of_the_folder_is_a_bad_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        assert find(folder) is None
        with pytest.raises(BadSetting, match="cannot be used"), claim(folder, "x"):
            pass


def test_a_record_that_cannot_be_written_is_a_bad_setting_and_frees_the_lock(tmp_path: Path) -> None:
    (tmp_path / "owner.json.new").mkdir()
    with pytest.raises(BadSetting, match="cannot be used"), claim(tmp_path, "x"):
        pass
    (tmp_path / "owner.json.new").rmdir()
    with claim(tmp_path, "x"):
        pass
