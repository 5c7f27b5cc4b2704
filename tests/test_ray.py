"""Ingestion on a real Ray cluster of this machine: a head and two nodes, each with processes of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_engine import fake_engine, fake_store
from fakes import FakeCounter, FakeEmbedder
from ingest import batches, ray_cluster, ray_worker
from ingest.absence import Absence
from ingest.cli import ingest, perform
from ingest.passages import max_characters_for
from ingest.pipeline import Ingestion
from ingest.ray_cluster import Cluster, joined
from ingest.report import FileResult, Report
from ingest.run import Run, begin
from ingest.workers import Read
from rag import errors as e
from rag.remote import Remote
from rag.settings import load_settings
from rag.store.edge import EdgeStore
from service import children_of, free_port

pytestmark = pytest.mark.process

PATIENCE_S = 5.0
ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20
MAX_CHARACTERS = max_characters_for(FakeEmbedder.max_tokens)
# A machine that is gone is noticed in seconds, not in half a minute.
QUICK = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


def deadly(data: bytes, name: str, media_type: str, max_characters: int) -> Read | BaseException:
    """Reads; what is called deadly.txt takes the worker with it."""
    if name.endswith("deadly.txt"):
        os.kill(os.getpid(), signal.SIGKILL)
    return ray_worker.read_bytes(data, name, media_type, max_characters)


def slow(data: bytes, name: str, media_type: str, max_characters: int) -> Read | BaseException:
    """Reads, and is not done with all before the first is stored."""
    time.sleep(0.5)
    return ray_worker.read_bytes(data, name, media_type, max_characters)


class OtherModel(FakeEmbedder):
    def embed_query(self, text: str) -> Any:
        return -super().embed_query(text)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Ray's own picture of its cluster. Its files lie below the tests' folder; none of its processes stays."""
    folder = tmp_path_factory.mktemp("r")  # short: there are sockets in it
    (folder / "ray").mkdir()
    before = children_of(os.getpid())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster as Machines

        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder), "_system_config": QUICK}
        try:
            machines = Machines(True, head_node_args={**head, "object_store_memory": 80 * MIB})
            for _ in range(2):
                machines.add_node(num_cpus=1, object_store_memory=80 * MIB)
            yield machines
            machines.shutdown()
        finally:
            for pid in children_of(os.getpid()) - before:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of all fates: read, equal, empty, broken, within an archive."""
    there = tmp_path / "files"
    there.mkdir()
    for number in range(40):
        words = " ".join(f"word{number}x{each}" for each in range(40))
        (there / f"note{number:02}.md").write_text(
            f"# Note {number}\n\n{words}\n\n## More\n\n{words} again.\n"
        )
    (there / "equal.md").write_bytes((there / "note00.md").read_bytes())
    (there / "broken.pdf").write_text("no PDF")
    (there / "large.txt").write_text("A line of a file that is no small one.\n" * 10_000)
    with zipfile.ZipFile(there / "packed.zip", "w") as archive:
        archive.writestr("inside.txt", "What is inside an archive is read as well.")
    return there


def ingested(
    store: EdgeStore,
    paths: Sequence[Path],
    scratch: Path,
    cluster: Cluster | None = None,
    read: Any = ray_worker.read_bytes,
) -> Iterator[Any]:
    embedder = FakeEmbedder()
    arguments: dict[str, Any] = {}
    if cluster:
        arguments = {"reading": cluster.reading(scratch, read), "machines": cluster.machines}
    there = cluster.embedder(embedder) if cluster else embedder
    return Ingestion(store, there, FakeCounter(), "notes", scratch=scratch, **arguments).run(paths)


def told(report: Report) -> list[tuple[str, str, str]]:
    return sorted((each.name, each.status, each.reason or "") for each in report.files)


def held(store: EdgeStore) -> dict[str, Any]:
    """All that a collection holds, but the times at which it was written."""
    index = store.open("notes")
    return {
        document.source: (
            document.id,
            document.revision,
            document.content_hash,
            document.tokens,
            index.read(document.id),
        )
        for document in index.documents()
    }


def vectors(store: EdgeStore) -> dict[str, Any]:
    index = store.open("notes")
    return {document.source: index.vectors(index.read(document.id)) for document in index.documents()}


def assert_same(ours: EdgeStore, theirs: EdgeStore) -> None:
    assert held(ours) == held(theirs)
    others = vectors(theirs)
    assert all(np.allclose(vector, others[source], atol=1e-6) for source, vector in vectors(ours).items())


def test_a_machine_with_another_model_is_refused_before_anything_is_stored(
    machines: Any, folder: Path, tmp_path: Path
) -> None:
    store = fake_store(tmp_path)
    with (
        joined(machines.address, OtherModel, MAX_CHARACTERS) as cluster,
        pytest.raises(e.BadSetting, match="embedding model"),
    ):
        list(ingested(store, [folder / "note00.md"], tmp_path / "scratch", cluster))
    assert store.names() == []


def test_a_machine_that_reads_in_another_way_is_refused(
    machines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_worker, "version", lambda _: ("9.9", ""))
    with (
        pytest.raises(e.BadSetting, match="has openbook"),
        joined(machines.address, FakeEmbedder, MAX_CHARACTERS),
    ):
        pass


def test_without_ray_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(e.BadSetting, match=r"openbook\[ray\]"), joined("auto", FakeEmbedder, MAX_CHARACTERS):
        pass


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_answers_is_told_at_once(scheme: str) -> None:
    address = f"{scheme}127.0.0.1:{free_port()}"
    began = time.monotonic()
    with (
        pytest.raises(e.ClusterUnavailable, match=address),
        joined(address, FakeEmbedder, MAX_CHARACTERS),
    ):
        pass
    assert time.monotonic() - began < 10


def test_what_is_no_address_is_told() -> None:
    with pytest.raises(e.BadSetting, match="HOST:PORT"), joined("spark", FakeEmbedder, MAX_CHARACTERS):
        pass


def test_a_cluster_that_has_gone_from_this_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(e.ClusterUnavailable, match="127"), joined("auto", FakeEmbedder, MAX_CHARACTERS):
        pass


def test_a_service_on_the_data_folder_does_not_read_on_a_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ingest.cli.find_service", lambda _: Remote("http://127.0.0.1:1"))
    run = Run("notes", (str(tmp_path),))
    with pytest.raises(e.BadRequest, match="OPENBOOK_RAY"):
        perform(load_settings(), run, lambda _: None, "auto")
    with pytest.raises(e.BadRequest, match="OPENBOOK_RAY"):
        ingest([tmp_path], ray="auto", detach=True)


class Actor:
    """Whose machine cannot be reached until it has been asked ``away`` times."""

    def __init__(self, away: int) -> None:
        self.away, self.asked = away, 0
        self.embed = self

    def remote(self, part: Sequence[str]) -> Actor:
        self.asked += 1
        return self

    def get(self) -> str:
        from ray.exceptions import ActorUnavailableError

        if self.asked <= self.away:
            raise ActorUnavailableError("connection refused", bytes(16))
        return "vectors"


def test_embedding_is_asked_for_until_ray_notices_that_a_machine_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ray.wait", lambda asked, **_: (asked, []))
    monkeypatch.setattr("ray.get", lambda asked: asked.get())
    monkeypatch.setattr(ray_cluster, "_LOOK_S", 0.0)
    actor = Actor(away=20)
    assert ray_cluster._embedded([actor], [["a"]], Absence(10.0)) == ["vectors"]
    assert actor.asked == 21
    monkeypatch.setattr(ray_cluster, "_AWAY_S", 0.0)
    with pytest.raises(e.ClusterUnavailable, match=r"did not embed: .* connection refused"):
        ray_cluster._embedded([Actor(away=20)], [["a"]], Absence(10.0))


@pytest.fixture(scope="module")
def cluster(machines: Any) -> Iterator[Cluster]:
    """For the last tests here: a process is part of one cluster at a time."""
    with joined(machines.address, FakeEmbedder, MAX_CHARACTERS, PATIENCE_S) as cluster:
        yield cluster


def test_the_command_reads_and_embeds_on_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "note.md"
    file.write_text("The gauge is read every minute.")
    with fake_engine(tmp_path / "data") as engine:
        *_, report = begin(engine, Run("notes", (str(file),)), cluster)
        (document,) = engine.rag.store.open("notes").documents()
    assert isinstance(report, Report)
    assert (report.parsed, report.embedded, document.passages) == (1, 1, 1)


def test_a_file_that_takes_its_worker_with_it_each_time_is_told(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("before.md", "deadly.txt", "later.md"):
        (tmp_path / name).write_text(f"This is {name}.")
    store = fake_store(tmp_path / "store")
    files = [tmp_path / name for name in ("before.md", "deadly.txt", "later.md")]
    *_, report = ingested(store, files, tmp_path / "scratch", cluster, deadly)
    (failed,) = [each for each in report.files if each.status == "failed"]
    assert (failed.name, failed.error) == ("deadly.txt", "SourceCrash")
    assert "4 times" in failed.reason
    assert report.count("added") == len(held(store)) == 2


def test_the_same_collection_as_without_a_cluster_though_a_machine_dies(
    machines: Any, cluster: Cluster, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "EMBED_BATCH", 8)  # so that some files are done while others are read
    here, there = fake_store(tmp_path / "here"), fake_store(tmp_path / "there")
    *_, local = ingested(here, [folder], tmp_path / "scratch")
    lost = sorted(machines.worker_nodes, key=lambda node: node.node_id)[0]
    events = ingested(there, [folder], tmp_path / "scratch", cluster)
    for event in events:
        if isinstance(event, FileResult) and event.status == "added" and lost:
            os.kill(lost.all_processes["raylet"][0].process.pid, signal.SIGKILL)
            lost = None
    assert told(event) == told(local)
    assert_same(here, there)
    *_, again = ingested(there, [folder], tmp_path / "scratch", cluster)
    assert (again.parsed, again.embedded) == (0, 0)
    assert_same(here, there)
    assert {each.status for each in local.files} == {"added", "failed"}


def test_a_cluster_that_all_have_left_ends_the_run_and_what_was_stored_stays(
    machines: Any, cluster: Cluster, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one here: no machine is left."""
    monkeypatch.setattr(batches, "EMBED_BATCH", 8)
    store, stored = fake_store(tmp_path / "store"), list[FileResult]()
    left_at: list[float] = []

    def run() -> None:
        for event in ingested(store, [folder], tmp_path / "scratch", cluster, slow):
            if isinstance(event, FileResult) and event.status == "added":
                stored.append(event)
                if not left_at:
                    for node in machines.worker_nodes:
                        node.all_processes["raylet"][0].process.kill()  # nothing where it has ended
                    left_at.append(time.monotonic())

    with pytest.raises(e.ClusterUnavailable, match="no machine with a CPU for 5 s") as raised:
        run()
    assert "the same command goes on" in raised.value.hint
    assert PATIENCE_S <= time.monotonic() - left_at[0] < PATIENCE_S + 30
    assert len(stored) == len(held(store)) >= 1
    *_, report = ingested(store, [folder], tmp_path / "scratch")  # as where there are machines again
    assert report.count("unchanged") >= len(stored)
    assert len(held(store)) > len(stored)
