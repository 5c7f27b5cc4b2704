"""Real worker processes: what they give back, and what happens to those that hang, grow, crash or are left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_engine import fake_store
from fakes import FakeCounter, FakeEmbedder
from ingest.containers.unpack import Budget
from ingest.contents import Contents
from ingest.pipeline import Ingestion
from ingest.report import Progress, Report
from ingest.workers import InProcess, ParserBug, Workers
from rag import errors as e
from service import alive, children_of, gone_within

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Two, with limits that a test can wait for."""
    workers = Workers(2, timeout_s=6, memory_bytes=300 * 2**20)
    yield workers
    workers.close()


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Tasks of their own for what no file does reliably; they run in the worker.


def crash(path: Path, name: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def end(path: Path, name: str) -> None:
    os._exit(3)


def hang(path: Path, name: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    path.write_text(str(os.getpid()))
    time.sleep(600)


def use(path: Path, mib: str) -> int:
    bytearray(int(mib) * 2**20)
    return os.getpid()


def leak(path: Path, mib: str) -> None:
    leaked.append(bytearray(int(mib) * 2**20))


leaked: list[bytearray] = []


class Odd(Exception):
    def __init__(self, one: int, two: int) -> None:  # cannot be made again from its pickle
        super().__init__("odd")


def bug(path: Path, name: str) -> None:
    raise Odd(1, 2)


def deep(path: Path, name: str) -> None:
    deep(path, name)


def test_the_same_text_as_in_this_process(workers: Workers, samples: Path, tmp_path: Path) -> None:
    paths = sorted(path for path in samples.rglob("*") if path.suffix in (".md", ".txt", ".pdf"))
    assert paths
    types = {".md": "text/markdown", ".txt": "text/plain", ".pdf": "application/pdf"}
    futures = [workers.read(path, path.name, types[path.suffix], 900) for path in paths]
    for path, future in zip(paths, futures, strict=True):
        ours, theirs = InProcess().read(path, path.name, types[path.suffix], 900).result(), future.result(60)
        assert (theirs.content_hash, theirs.parsed, theirs.tiles) == (
            ours.content_hash,
            ours.parsed,
            ours.tiles,
        )
        assert theirs.seconds > 0


def test_errors_come_back_as_themselves(workers: Workers, tmp_path: Path) -> None:
    cases: list[tuple[Path, str, type[e.SourceError], str]] = [
        (written(tmp_path, "empty.txt", ""), "text/plain", e.SourceEmpty, "0 bytes"),
        (written(tmp_path, "broken.pdf", "not a PDF"), "application/pdf", e.SourceCorrupt, "broken.pdf"),
        (written(tmp_path, "x.bin", b"\0"), "application/octet-stream", e.SourceUnsupported, "x.bin"),
        (tmp_path / "gone.txt", "text/plain", e.SourceError, "cannot be read"),
    ]
    for path, media_type, kind, told in cases:
        error = workers.read(path, path.name, media_type, 900).exception(60)
        here = InProcess().read(path, path.name, media_type, 900).exception()
        assert isinstance(error, kind)
        assert isinstance(here, kind)
        assert told in error.message
        assert (error.message, error.hint) == (here.message, here.hint)


def test_a_parser_that_hangs_is_ended_and_told_and_the_next_file_is_read(
    workers: Workers, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.txt")  # nobody writes to it, so reading it never ends
    good = written(tmp_path, "good.txt", "Text.")
    hanging = workers.read(tmp_path / "pipe.txt", "pipe.txt", "text/plain", 900)
    stubborn = workers._run("stubborn", hang, tmp_path / "pid", "stubborn")
    for future, name in ((hanging, "pipe.txt"), (stubborn, "stubborn")):
        error = future.exception(60)
        assert isinstance(error, e.SourceOverLimit)
        assert f"{name} was not read within 6 seconds" in error.message
        assert error.hint
    assert gone_within({int((tmp_path / "pid").read_text())}, 5)
    assert workers.read(good, "good.txt", "text/plain", 900).result(60).parsed.text == "Text."


def test_a_file_that_eats_memory_is_told(workers: Workers, tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(400 * 2**20)
    error = workers.read(path, "huge.txt", "text/plain", 900).exception(60)
    assert isinstance(error, e.SourceOverLimit)
    assert "needs more than 0.292969 GiB" in error.message
    good = written(tmp_path, "good.txt", "Text.")
    assert workers.read(good, "good.txt", "text/plain", 900).result(60).parsed.text == "Text."


def test_a_worker_whose_memory_is_used_up_costs_the_next_file_nothing(tmp_path: Path) -> None:
    workers = Workers(1, memory_bytes=1000 * 2**20)
    for kept in (500, 780):  # too little for the next, and too little for any
        assert workers._run("kept", leak, tmp_path / "kept", str(kept)).exception(60) is None
        worker = workers._run("next", use, tmp_path / "next", "600").result(60)
        # Another one by now, which is not replaced each time.
        assert workers._run("also", use, tmp_path / "also", "600").result(60) == worker
    assert isinstance(workers._run("huge", use, tmp_path / "huge", "1100").exception(60), e.SourceOverLimit)
    assert workers._run("last", use, tmp_path / "last", "600").result(60)
    workers.close()


def test_a_crash_costs_its_file_only(workers: Workers, tmp_path: Path) -> None:
    good = [written(tmp_path, f"{i}.txt", f"Text {i}.") for i in range(6)]
    futures = [workers.read(path, path.name, "text/plain", 900) for path in good[:3]]
    crashed = workers._run("bad.pdf", crash, tmp_path, "bad.pdf")
    ended = workers._run("worse.pdf", end, tmp_path, "worse.pdf")
    futures += [workers.read(path, path.name, "text/plain", 900) for path in good[3:]]
    for future, told in ((crashed, "SIGSEGV"), (ended, "exit code 3")):
        error = future.exception(60)
        assert isinstance(error, e.SourceCrash)
        assert told in error.message
        assert error.hint
    assert [future.result(60).parsed.text for future in futures] == [f"Text {i}." for i in range(6)]


def test_a_bug_comes_with_its_traceback_and_endless_depth_is_told(workers: Workers, tmp_path: Path) -> None:
    error = workers._run("a.txt", bug, tmp_path, "a.txt").exception(60)
    assert isinstance(error, ParserBug)
    assert "Odd('odd')" in error.error
    assert "in bug" in error.trace
    error = workers._run("a.json", deep, tmp_path, "a.json").exception(60)
    assert isinstance(error, e.SourceCorrupt)
    assert "nested too deeply" in error.message


def test_archives_are_unpacked_there(workers: Workers, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/b.txt", "Text.")
    (tmp_path / "into").mkdir()
    unpacked = workers.unpack(
        tmp_path / "a.zip", "a.zip", "application/zip", tmp_path / "into", Budget(1000)
    ).result(60)
    (inner,) = unpacked.inner
    assert (inner.name, inner.path.read_text()) == ("in/b.txt", "Text.")


def test_nothing_is_started_before_there_is_work_and_closing_ends_all(tmp_path: Path) -> None:
    before = children_of(os.getpid())
    workers = Workers(2)
    assert children_of(os.getpid()) == before
    os.mkfifo(tmp_path / "pipe.txt")
    waiting = workers.read(tmp_path / "pipe.txt", "pipe.txt", "text/plain", 900)
    time.sleep(1)
    inside = children_of(os.getpid()) - before
    began = time.monotonic()
    workers.close()
    assert time.monotonic() - began < 5
    assert waiting.exception(5) is not None
    # What is left at most is the server that forks and the tracker, which end with this process.
    left = alive(inside)
    assert not any(b"pebble" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left)
    assert len(left) <= 2
    assert workers.read(tmp_path, "a", "text/plain", 900).exception(5) is not None
    Workers(1).close()


def test_a_run_over_workers_writes_what_one_without_them_does_and_ends_them(
    samples: Path, tmp_path: Path
) -> None:
    store, contents = fake_store(tmp_path), Contents(tmp_path / "contents.db")
    try:
        for collection, reading in (("here", InProcess()), ("there", None)):
            before = children_of(os.getpid())
            run = Ingestion(store, FakeEmbedder(), FakeCounter(), collection, reading)
            *_, report = run.run([samples], contents=contents)
            assert isinstance(report, Report)
            assert report.count("failed") == 0
            assert report.seconds["parse"] > 0
            assert (
                len(alive(children_of(os.getpid()) - before)) <= 2
            )  # the server that forks, and the tracker
        here, there = (
            [
                (document.source, document.revision, [passage.text for passage in index.read(document.id)])
                for document in index.documents()
            ]
            for index in (store.open("here"), store.open("there"))
        )
        assert here == there
        assert here
        again = Ingestion(store, FakeEmbedder(), FakeCounter(), "there").run([samples], contents=contents)
        before = children_of(os.getpid())
        assert all(not isinstance(event, Progress) for event in again)
        assert children_of(os.getpid()) == before  # nothing has changed, so nothing was started
    finally:
        contents.close()
        store.close()


def test_a_run_that_is_given_up_ends_its_workers_at_once(samples: Path, tmp_path: Path) -> None:
    store = fake_store(tmp_path)
    before = children_of(os.getpid())
    run = Ingestion(store, FakeEmbedder(), FakeCounter(), "c").run([samples])
    assert any(isinstance(event, Progress) for event in (next(run), next(run), next(run)))
    began = time.monotonic()
    run.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 5
    assert len(alive(children_of(os.getpid()) - before)) <= 2
    store.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_its_parent_and_an_interrupt_shows_no_traceback_of_theirs(
    tmp_path: Path, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, pathlib, time\n"
        "from ingest.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(2)\n"
        f"    future = workers.read(pathlib.Path({str(tmp_path / 'pipe.txt')!r}), 'pipe', 'text/plain', 900)\n"
        "    try:\n"
        "        future.result()\n"
        "    except KeyboardInterrupt:\n"
        "        workers.close()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.PIPE, start_new_session=True, cwd=tmp_path
    )
    deadline = time.monotonic() + 30
    while len(below := children_of(parent.pid)) < 4:  # the tracker, the server and two workers
        assert time.monotonic() < deadline, below
        time.sleep(0.05)
    time.sleep(0.5)
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)  # as a terminal does: to all of them
    else:
        parent.send_signal(number)
    _, err = parent.communicate(timeout=20)
    assert gone_within(below, 10), alive(below)
    assert b"Traceback" not in err, err.decode()


def test_workers_that_are_ended_while_they_start_say_nothing(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    (tmp_path / "a.txt").write_text("a")
    script.write_text(
        "import pathlib\n"
        "from ingest.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    for _ in range(12):\n"
        "        workers = Workers(8)\n"
        f"        workers.read(pathlib.Path({str(tmp_path / 'a.txt')!r}), 'a', 'text/plain', 900).result()\n"
        "        workers.close()\n"
    )
    ran = subprocess.run(
        [sys.executable, str(script)], check=False, capture_output=True, timeout=120, cwd=tmp_path
    )
    assert (ran.returncode, ran.stderr.decode()) == (0, "")


def test_a_folder_named_as_one_of_our_packages_is_not_taken_for_it(tmp_path: Path) -> None:
    for name in ("ingest", "rag", "pebble"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    (tmp_path / "a.txt").write_text("Text.")
    script = tmp_path / "elsewhere" / "main.py"
    script.parent.mkdir()
    script.write_text(
        "import pathlib\n"
        "from ingest.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(1)\n"
        "    print(workers.read(pathlib.Path('a.txt'), 'a', 'text/plain', 900).result(60).parsed.text)\n"
        "    workers.close()\n"
    )
    ran = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "Text.", "")
