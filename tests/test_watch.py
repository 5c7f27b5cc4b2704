"""Following folders: a burst at a time, nothing missed, nothing read twice, and patience where it cannot be done."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue

import pytest
from watchfiles import Change

from git_house import Repo
from ingest import watch
from ingest.report import Report
from ingest.repository.git import containing
from ingest.run import Run
from ingest.watch import Follower, Wanted, bursts
from rag.errors import DataFolderInUse, SourceMissing
from service import OPENBOOK, Service

ROOT = Path("/watched")
DONE = Report("c", (), 0, 0)


class Performer:
    """Notes what is asked for; raises what it is given first."""

    def __init__(self, *errors: Exception) -> None:
        self.runs: list[Run] = []
        self._errors = list(errors)

    def __call__(self, run: Run) -> Report:
        self.runs.append(run)
        if self._errors:
            raise self._errors.pop(0)
        return DONE


def test_all_at_first_then_what_changed() -> None:
    performer = Performer()
    follower = Follower([ROOT], "c", performer)
    assert follower.follow(frozenset()) == DONE
    assert follower.follow(frozenset()) is None
    assert follower.follow(frozenset({ROOT / "b", ROOT / "a"})) == DONE
    assert follower.follow(frozenset()) is None
    assert performer.runs == [
        Run("c", ("/watched",), prune=True),
        Run("c", ("/watched",), prune=True, changed=("/watched/a", "/watched/b")),
    ]


def test_what_cannot_be_done_now_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "RETRY_S", 0.0)
    busy = DataFolderInUse.of(ROOT, 7, "openbook ingest")
    performer = Performer(busy)
    follower = Follower([ROOT], "c", performer)
    assert follower.follow(frozenset()) is None
    assert "in use by process 7" in capsys.readouterr().err
    assert follower.follow(frozenset()) == DONE
    performer._errors = [busy]
    assert follower.follow(frozenset({ROOT / "a"})) is None
    assert follower.follow(frozenset({ROOT / "b"})) == DONE
    assert performer.runs[-1].changed == ("/watched/a", "/watched/b")


def test_attempts_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RETRY_S", 3600.0)
    performer = Performer(DataFolderInUse.of(ROOT, 7, "openbook ingest"))
    follower = Follower([ROOT], "c", performer)
    for _ in range(5):
        assert follower.follow(frozenset({ROOT / "a"})) is None
    assert len(performer.runs) == 1


def test_other_errors_end_it() -> None:
    with pytest.raises(SourceMissing):
        Follower([ROOT], "c", Performer(SourceMissing("gone"))).follow(frozenset())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("report.docx", True),
        ("notes.md", True),
        ("Makefile", True),
        ("~$report.docx", False),
        (".~lock.report.odt#", False),
        ("report.docx~", False),
        (".report.docx.swp", False),
        ("4913", False),
        ("#notes.md#", False),
        ("film.mp4.part", False),
        ("report.pdf.crdownload", False),
        ("data.tmp", False),
        (".DS_Store", False),
        (".git/index", False),
        ("node_modules/x.js", False),
    ],
)
def test_temporary_and_hidden_files_say_nothing(name: str, wanted: bool) -> None:
    assert Wanted()(Change.modified, f"/watched/{name}") is wanted


def test_in_a_repository_what_git_ignores_says_nothing_and_hidden_files_do(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "watched")
    repo.write(".gitignore", "*.log\nbuild/\n")
    git = containing(repo.root)
    assert git
    wanted = Wanted([git])
    said = {
        name: wanted(Change.modified, str(tmp_path / name))
        for name in (
            "watched/a.py",
            "watched/.gitignore",
            "watched/.github/x.yml",
            "watched/x.log",
            "watched/build/a.py",
            "watched/.git/HEAD",
            "watched/a.py.tmp",
            "elsewhere/.hidden",
        )
    }
    assert [name for name, is_said in said.items() if is_said] == [
        "watched/a.py",
        "watched/.gitignore",
        "watched/.github/x.yml",
    ]


def test_a_commit_is_news_though_no_file_changed(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "watched")
    repo.write("a.py")
    git = containing(repo.root)
    assert git
    performer = Performer()
    follower = Follower([repo.root], "c", performer, [git])
    follower.follow(frozenset())
    assert follower.follow(frozenset()) is None
    repo.commit()
    assert follower.follow(frozenset()) == DONE
    assert performer.runs[-1] == Run("c", (str(repo.root),), prune=True, changed=())
    assert follower.follow(frozenset()) is None


@pytest.fixture
def burst(tmp_path: Path) -> Iterator[Callable[[], set[str]]]:
    """The next burst below the folder ``w``, as names."""
    (tmp_path / "w" / "deep").mkdir(parents=True)
    found: Queue[set[str]] = Queue()
    stop = threading.Event()

    def follow() -> None:
        for changed in bursts([tmp_path / "w"], stop, settle_ms=200):
            found.put({path.name for path in changed})

    thread = threading.Thread(target=follow)
    thread.start()
    assert found.get(timeout=10) == set()

    def following() -> set[str]:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if names := found.get(timeout=10):
                return names
        raise Empty

    yield following
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.process
def test_a_burst_is_one(burst: Callable[[], set[str]], tmp_path: Path) -> None:
    for n in range(100):
        (tmp_path / "w" / "deep" / f"{n}.md").write_text(str(n))
    assert burst() == {f"{n}.md" for n in range(100)}


@pytest.mark.process
def test_saved_as_editors_do_moved_and_removed(burst: Callable[[], set[str]], tmp_path: Path) -> None:
    folder = tmp_path / "w"
    (folder / "a.md").write_text("one")
    assert burst() == {"a.md"}
    (folder / "a.md.tmp").write_text("two")
    (folder / "a.md.tmp").replace(folder / "a.md")
    assert burst() == {"a.md"}
    (folder / "a.md").rename(folder / "deep" / "b.md")
    assert burst() == {"a.md", "b.md"}
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "c.md").write_text("c")
    (tmp_path / "outside").rename(folder / "inside")
    assert "inside" in burst()
    (folder / "deep" / "b.md").unlink()
    assert burst() == {"b.md"}


def documents(house: Service) -> dict[str, int]:
    ran = house.run("documents", "--json", check=False)
    if ran.returncode:
        return {}
    return {
        Path(document["source"]).name: document["characters"]
        for document in json.loads(ran.stdout)["documents"]
    }


def until(house: Service, expected: dict[str, int]) -> None:
    deadline = time.monotonic() + 60
    while (found := documents(house)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


@pytest.mark.process
@pytest.mark.models
def test_a_collection_is_kept_as_its_folder_is(tmp_path: Path) -> None:
    house = Service(tmp_path)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "before.md").write_text("Written before.")
    with (tmp_path / "watch.log").open("wb") as log:
        watching = subprocess.Popen(
            [OPENBOOK, "watch", str(folder)], env=house.environment, stdout=log, stderr=log
        )
    try:
        until(house, {"before.md": 15})
        (folder / "after.md").write_text("Written afterwards.")
        until(house, {"before.md": 15, "after.md": 19})
        (folder / "before.md").rename(folder / "moved.md")
        until(house, {"moved.md": 15, "after.md": 19})
        (folder / "moved.md").unlink()
        (folder / "after.md").write_text("Changed.")
        until(house, {"after.md": 8})
    finally:
        watching.send_signal(signal.SIGINT)
        code = watching.wait(30)
    assert (code, "Traceback" in (tmp_path / "watch.log").read_text()) == (130, False)


@pytest.mark.process
@pytest.mark.models
def test_a_collection_follows_a_repository_from_branch_to_branch(tmp_path: Path) -> None:
    house = Service(tmp_path)
    repo = Repo(tmp_path / "project")
    repo.commit(_gitignore="*.log\n", a_py="a = 1\n", here_py="here = 1\n")
    repo.branch("other")
    repo.checkout("other")
    repo.remove("here.py")
    repo.commit(a_py="a = 22\n", there_py="there = 1\n")
    repo.checkout("main")
    log = tmp_path / "watch.log"
    with log.open("wb") as file:
        watching = subprocess.Popen(
            [OPENBOOK, "watch", str(repo.root), "--json"], env=house.environment, stdout=file, stderr=file
        )
    try:
        until(house, {".gitignore": 6, "a.py": 6, "here.py": 9})
        repo.checkout("other")
        until(house, {".gitignore": 6, "a.py": 7, "there.py": 10})
        repo.write("run.log", "noise\n")
        repo.write("new.py", "new = 1\n")
        until(house, {".gitignore": 6, "a.py": 7, "there.py": 10, "new.py": 8})
        commit = repo.commit()
        settings = house.data / "collection_settings.json"
        deadline = time.monotonic() + 30
        while commit not in settings.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        watching.send_signal(signal.SIGINT)
        code = watching.wait(30)
    assert (code, "Traceback" in log.read_text()) == (130, False)
    reports = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    # A commit may be looked at in a report of its own, in which nothing has changed.
    changes = [
        sum(e["status"] in ("added", "replaced", "removed") for e in report["files"]) for report in reports
    ]
    assert [count for count in changes if count] == [3, 3, 1]
