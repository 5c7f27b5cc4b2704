"""The console script as a process of its own: one owner, one result with and without a service, every way to stop."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import pytest
import qdrant_edge as qe
from httpx_sse import connect_sse

from rag import owner
from service import OPENBOOK, Service, free_port
from stub_llm import StubLlm, stub_llm

pytestmark = pytest.mark.process

REPLY = "The pump of station 3 is checked every 3 weeks [1]."
QUESTION = "How often is the pump of station 3 checked?"


def corpus(folder: Path, version: str, files: int = 8) -> Path:
    """Files of several passages each; another version differs in every second file."""
    folder.mkdir(exist_ok=True)
    for i in range(files):
        edition = version if i % 2 else "every version"
        lines = [f"Sentence {j} about pump {i} and valve {j * i} of {edition}.\n" for j in range(60)]
        lines[7] = f"The pump of station {i} is checked every {i} weeks.\n\n"
        (folder / f"station-{i}.md").write_text(f"# Station {i}\n\n" + "".join(lines))
    return folder


def environment(llm_url: str) -> dict[str, str]:
    own = {"OPENBOOK_LLM_URL": llm_url, "OPENBOOK_TOKENIZER": "", "OMP_NUM_THREADS": "2"}
    return dict(os.environ) | own | {"OPENBOOK_STOP_GRACE_S": "1"}


@pytest.fixture(scope="module")
def llm() -> Iterator[StubLlm]:
    with stub_llm(REPLY) as server:
        yield server


@pytest.fixture
def make(llm: StubLlm, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def service(name: str = "own", url: str = llm.url) -> Service:
        (tmp_path / name).mkdir(exist_ok=True)
        made.append(Service(tmp_path / name, environment(url)))
        return made[-1]

    yield service
    for running in made:
        if running.process and running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def until(what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def serving(service: Service) -> Service:
    """Up, though not all that it needs may be."""
    service.start()

    def up() -> bool:
        assert service.process
        assert service.process.poll() is None, service.log.read_text()
        record = owner.find(service.data)
        return record is not None and record.url is not None

    until(up)
    return service


# --- one owner, one port ------------------------------------------------------------------------------------


def test_a_second_owner_and_a_taken_port_are_told(make: Callable[..., Service]) -> None:
    first = serving(make())
    assert first.process
    again = first.run("serve", "--port", str(free_port()), check=False)
    assert again.returncode == 3
    assert f"in use by process {first.process.pid} (openbook serve)" in again.stderr
    assert f"kill {first.process.pid}" in again.stderr

    other = make("other")
    taken = other.run("serve", "--port", str(first.port), check=False)
    assert taken.returncode == 3
    assert f"Port {first.port} on 127.0.0.1 is taken" in taken.stderr
    assert "--port" in taken.stderr
    assert not (other.data / "owner.json").exists()
    assert httpx.get(f"{first.url}/healthz").status_code == 200
    assert "Traceback" not in again.stderr + taken.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_order(make: Callable[..., Service], number: signal.Signals) -> None:
    service = serving(make())
    assert service.stop(number) == 0
    assert not (service.data / "owner.json").exists()
    assert "Traceback" not in service.log.read_text()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", service.port))  # it is free again


def test_an_address_that_is_not_ours_is_told(make: Callable[..., Service]) -> None:
    for host in ("203.0.113.7", "no-such-host.invalid"):
        ran = make().run("serve", "--host", host, check=False)
        assert ran.returncode == 2
        assert host in ran.stderr
        assert "OPENBOOK_HOST" in ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.models
def test_a_second_ingest_names_the_first(make: Callable[..., Service], tmp_path: Path) -> None:
    house = make()
    files = corpus(tmp_path / "files", "v1", 200)
    first = subprocess.Popen(
        [OPENBOOK, "ingest", str(files)],
        env=house.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until((house.data / "owner.json").exists)
    for command in (["ingest", str(files)], ["serve"], ["documents"]):
        second = house.run(*command, check=False)
        assert second.returncode == 3, command
        assert f"in use by process {first.pid} (openbook ingest)" in second.stderr
    out, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert b"default: 200 added" in out
    assert not (house.data / "owner.json").exists()


def test_an_interrupted_command_leaves_nothing_and_no_traceback(
    make: Callable[..., Service], tmp_path: Path
) -> None:
    house = make()
    files = corpus(tmp_path / "files", "v1", 1)
    running = subprocess.Popen(
        [OPENBOOK, "ingest", str(files)], env=house.environment, stderr=subprocess.PIPE
    )
    until((house.data / "owner.json").exists)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, b"Traceback" in err) == (130, False), err.decode()
    assert not (house.data / "owner.json").exists()


# --- a model that is away -------------------------------------------------------------------------------------


@pytest.mark.models
def test_without_a_model_asking_fails_and_the_rest_works(
    make: Callable[..., Service], tmp_path: Path
) -> None:
    service = serving(make(url=f"http://127.0.0.1:{free_port()}/v1"))
    report = service.json("ingest", str(corpus(tmp_path / "files", "v1", 4)))
    assert [file["status"] for file in report["files"]] == ["added"] * 4
    assert service.json("search", QUESTION)["hits"]
    asked = service.run("ask", QUESTION, "--json", check=False)
    assert (asked.returncode, asked.stdout) == (3, "")
    assert "cannot be reached" in asked.stderr
    assert "OPENBOOK_LLM_URL" in asked.stderr
    reply = httpx.post(f"{service.url}/v1/answer", json={"question": QUESTION})
    assert (reply.status_code, reply.json()["code"]) == (503, "ModelUnavailable")
    ready = httpx.get(f"{service.url}/readyz")
    assert ready.status_code == 503
    assert [name for name, check in ready.json()["checks"].items() if not check["ok"]] == ["model"]
    waited = service.run("status", "--wait", "--timeout", "1", check=False)
    assert waited.returncode == 3
    assert "model:" in waited.stderr
    assert service.run("documents").returncode == 0
    assert service.stop() == 0
    assert "Traceback" not in service.log.read_text()

    alone = service.run("ask", QUESTION, check=False)
    assert alone.returncode == 3
    assert alone.stderr == asked.stderr


# --- the same result with and without a service ---------------------------------------------------------------


def comparable(value: Any) -> Any:
    """Without what differs from run to run: times, how long things took, and an answer's own id."""
    if isinstance(value, dict):
        own = {"seconds", "ingested_at", *(["id"] if "receipt" in value else [])}
        return {k: comparable(v) for k, v in value.items() if k not in own}
    return [comparable(item) for item in value] if isinstance(value, list) else value


@pytest.mark.models
def test_the_command_line_finds_the_same_with_and_without_a_service(
    make: Callable[..., Service], tmp_path: Path, llm: StubLlm
) -> None:
    files = corpus(tmp_path / "files", "v1")
    (files / "empty.txt").write_text("")
    (files / "broken.pdf").write_bytes(b"not a PDF")
    reading: list[tuple[str, ...]] = [
        ("ask", QUESTION),
        ("search", "valve 12", "--limit", "50"),  # all there are: equal scores at a cut are cut either way
        ("documents",),
        ("documents", "-c", "nope"),
        ("ask", "x" * 100_000),
        ("rm", "nope"),
        ("ingest", str(tmp_path / "nope")),
        ("ingest", str(files)),  # all of it is unchanged or fails as before
    ]
    writing = [("documents",), ("rm", str(files / "station-5.md")), ("documents",), ("rm", "--all")]
    service, alone = serving(make("service")), make("alone")
    first = outcome(service, "ingest", str(files))
    through = [outcome(service, *command) for command in reading]
    assert service.stop() == 0
    assert [
        outcome(service, *command) for command in reading
    ] == through  # the same folder, without a service
    assert outcome(alone, "ingest", str(files)) == first  # and a folder that never had one
    serving(service)
    for command in writing:
        assert outcome(service, *command) == outcome(alone, *command), command
    assert service.stop() == 0


def outcome(service: Service, *command: str) -> tuple[int, Any, str]:
    ran = service.run(*command, "--json", check=False)
    assert bool(ran.stdout) != bool(ran.stderr), command
    return ran.returncode, comparable(json.loads(ran.stdout)) if ran.stdout else None, ran.stderr


# --- being stopped while something goes on ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def asking(llm: StubLlm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has read the files; stopped by the last test that uses it."""
    folder = tmp_path_factory.mktemp("asking")
    service = serving(Service(folder, environment(llm.url)))
    service.run("ingest", str(corpus(folder / "files", "v1", 4)))
    service.wait_ready(120)
    yield service
    assert service.stop() == 0


@pytest.fixture
def hanging(llm: StubLlm) -> Iterator[StubLlm]:
    llm.go_on.clear()
    llm.talking.clear()
    llm.gone.clear()
    yield llm
    llm.go_on.set()


@pytest.mark.models
def test_an_interrupted_question_ends_at_once_here_and_on_the_model_server(
    asking: Service, hanging: StubLlm
) -> None:
    running = subprocess.Popen(
        [OPENBOOK, "ask", QUESTION], env=asking.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert hanging.talking.wait(60)
    time.sleep(0.3)
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=10)
    assert time.monotonic() - began < 3
    assert (running.returncode, b"Traceback" in err) == (130, False), err.decode()
    assert out.startswith(b"The")
    assert hanging.gone.wait(5), "the model went on for nobody"


@pytest.mark.models
def test_a_model_that_dies_in_an_answer(asking: Service, llm: StubLlm) -> None:
    llm.cut = True
    try:
        asked = asking.run("ask", QUESTION, check=False)
    finally:
        llm.cut = False
    assert asked.returncode == 3
    assert "ended its answer in the middle" in asked.stderr
    assert asking.run("ask", QUESTION).stdout.startswith(REPLY)


@pytest.mark.models
def test_a_service_that_is_stopped_in_an_answer_says_so(asking: Service, hanging: StubLlm) -> None:
    running = subprocess.Popen(
        [OPENBOOK, "ask", QUESTION, "--json"],
        env=asking.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert hanging.talking.wait(60)
    began = time.monotonic()
    assert asking.stop() == 0
    assert time.monotonic() - began < 10
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (3, "")
    assert "The service is about to stop." in err
    assert "Traceback" not in err
    assert "Traceback" not in asking.log.read_text()
    assert not (asking.data / "owner.json").exists()


# --- kill -9 in the middle of an ingest -------------------------------------------------------------------------


def points(data: Path, collection: str = "default") -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """All that is stored, whether it can be seen or not: payload and vectors by id."""
    shard = qe.EdgeShard.load(str(data / "collections" / collection))
    try:
        records, _ = shard.scroll(qe.ScrollRequest(limit=100_000, with_payload=True, with_vector=True))
        found = {}
        for record in records:
            payload = {
                key: value for key, value in dict(record.payload or {}).items() if key != "ingested_at"
            }
            vector: Any = record.vector or {}
            found[str(record.id)] = (json.loads(json.dumps(payload)), dict(vector))
        return found
    finally:
        shard.close()


def killed_ingesting(service: Service, files: Path, events: int, delay_s: float) -> int:
    """Starts the service, lets it ingest up to an event and a moment more, and kills it; the events that came."""
    serving(service)
    record = owner.find(service.data)
    assert record
    seen = 0
    headers = {"Authorization": f"Bearer {record.token}"}
    try:
        with (
            httpx.Client(timeout=120, headers=headers) as client,
            connect_sse(client, "POST", f"{service.url}/v1/ingest", json={"paths": [str(files)]}) as source,
        ):
            for _ in source.iter_sse():
                seen += 1
                if seen == events:
                    time.sleep(delay_s)
                    break
    finally:
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    return seen


@pytest.mark.models
def test_killed_in_the_middle_of_an_ingest_and_run_again_it_is_as_if_nothing_had_happened(
    make: Callable[..., Service], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    files = corpus(tmp_path / "files", "v1")
    whole, cut = make("whole"), make("cut")
    seed = int(os.environ.get("OPENBOOK_TEST_SEED", random.randrange(10**6)))
    record_property("seed", seed)
    moments = random.Random(seed)
    kills = []
    for version in ("v1", "v2", "v2", "v2"):  # half of the second version's files replace what may be there
        corpus(files, version)
        event, delay_s = moments.randint(2, 16), moments.uniform(0, 0.2)
        kills.append((killed_ingesting(cut, files, event, delay_s), round(delay_s, 3)))
    assert (cut.data / "owner.json").exists()  # nobody was there to remove it

    report = cut.run("ingest", str(files), "--json")
    assert json.loads(report.stdout)["files"], report.stderr
    again = cut.json("ingest", str(files))
    assert (again["parsed"], again["embedded"]) == (0, 0)
    whole.run("ingest", str(files))
    a, b = points(cut.data), points(whole.data)
    hint = f"seed {seed}, killed after {kills} events"
    assert a.keys() == b.keys(), hint
    assert {key: payload for key, (payload, _) in a.items()} == {
        key: payload for key, (payload, _) in b.items()
    }, hint
    for key, (_, vectors) in a.items():
        assert vectors.keys() == b[key][1].keys()
        for name in vectors.keys() & {"dense"}:
            # The same text in another batch may differ in the last bits.
            assert vectors[name] == pytest.approx(b[key][1][name], abs=1e-5), hint
    assert comparable(cut.json("documents")) == comparable(whole.json("documents"))


@pytest.mark.models
def test_a_job_is_done_though_the_service_is_killed_in_the_middle(
    make: Callable[..., Service], tmp_path: Path
) -> None:
    files = corpus(tmp_path / "files", "v1", 120)
    house = serving(make())
    job = house.json("ingest", str(files), "--detach", "-c", "team")["job"]["id"]
    until(lambda: house.json("jobs", job)["job"]["files_done"] >= 2)
    house.stop(signal.SIGKILL)
    assert house.json("jobs", job)["job"]["state"] == "queued"
    serving(house)
    done = house.json("jobs", job, "--follow")
    assert (done["job"]["state"], done["job"]["files_done"]) == ("done", 120)
    assert done["job"]["counts"].get("unchanged", 0) >= 2
    assert len(house.json("documents", "-c", "team")["documents"]) == 120
    assert house.stop() == 0


# --- uploads ----------------------------------------------------------------------------------------------------


def uploading(service: Service, **arguments: Any) -> httpx.Response:
    record = owner.find(service.data)
    assert record
    headers = {"Authorization": f"Bearer {record.token}"}
    url = f"{service.url}/v1/uploads?collection=team"
    return httpx.post(url, headers=headers | arguments.pop("headers", {}), timeout=60, **arguments)


def batch(number: int) -> dict[str, bytes]:
    texts = {f"{number}/{name}.md": f"What {name} of {number} says.\n".encode() for name in "abc"}
    return texts | {f"{number}/padding.bin": b"\0" * 4_000_000}  # so that it takes a while to send


def as_parts(files: dict[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", file) for file in files.items()]


@pytest.mark.models
def test_killed_at_any_moment_every_upload_is_whole_and_ingested_or_not_there(
    make: Callable[..., Service], record_property: Callable[[str, object], None]
) -> None:
    house = make()
    seed = int(os.environ.get("OPENBOOK_TEST_SEED", random.randrange(10**6)))
    record_property("seed", seed)
    moments = random.Random(seed)
    root = house.data / "files" / "team" / "uploads"
    accepted: list[int] = []
    numbers = count()
    for _ in range(3):
        serving(house)
        assert not (house.data / "files" / ".incoming").exists()
        killer = Timer(moments.uniform(0, 0.3), house.stop, [signal.SIGKILL])
        killer.start()
        with suppress(httpx.TransportError, AssertionError):  # it is killed; then nobody owns the folder
            for number in islice(numbers, 4):
                reply = uploading(house, files=as_parts(batch(number)))
                assert reply.status_code == 202, reply.text
                accepted.append(number)
        killer.join()
    serving(house)
    for given in house.json("jobs")["jobs"]:
        if given["job"]["state"] == "failed":  # killed at one file three times, it is not tried unasked again
            house.json("jobs", given["job"]["id"], "--retry")
    until(lambda: all(job["job"]["state"] == "done" for job in house.json("jobs")["jobs"]))
    documents = house.json("documents", "-c", "team")["documents"] if accepted else []
    for number in range(next(numbers)):
        there = {f"{number}/{path.name}": path.read_bytes() for path in (root / str(number)).glob("*")}
        names = [d["source"] for d in documents if f"/uploads/{number}/" in d["source"]]
        assert (there, len(names)) in ((batch(number), 3), ({}, 0)), (seed, number)
        assert there or number not in accepted, (seed, number)
    assert house.stop() == 0


def test_an_upload_that_is_cut_by_a_kill_is_cleared(make: Callable[..., Service]) -> None:
    house = serving(make())
    incoming = house.data / "files" / ".incoming"
    record = owner.find(house.data)
    assert record
    half = "\r\n".join(
        (
            "POST /v1/uploads HTTP/1.1", f"Host: 127.0.0.1:{house.port}", f"Authorization: Bearer {record.token}",
            "Content-Type: multipart/form-data; boundary=x", "Content-Length: 1000000", "",
            "--x", 'Content-Disposition: form-data; name="files"; filename="half.md"', "", "half",
        )
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", house.port)) as connection:
        connection.sendall(half.encode())
        until(lambda: list(incoming.rglob("half.md")))
        house.stop(signal.SIGKILL)
    assert list(incoming.rglob("half.md"))
    serving(house)
    assert not incoming.exists()
    assert house.json("jobs")["jobs"] == []
    assert house.stop() == 0


def test_a_client_hears_that_it_sends_too_much(make: Callable[..., Service]) -> None:
    house = make()
    house.environment["OPENBOOK_MAX_UPLOAD_BYTES"] = "1000000"
    serving(house)

    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
        for _ in range(300):
            yield b"x" * 100_000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for arguments in (
        {"files": as_parts({"a.md": b"x" * 30_000_000})},
        {"content": chunks(), "headers": headers},
    ):
        reply = uploading(house, **arguments)
        assert (reply.status_code, reply.json()["code"]) == (413, "UploadTooLarge")
        assert "OPENBOOK_MAX_UPLOAD_BYTES" in reply.json()["hint"]
    assert not list((house.data / "files").rglob("*.md"))
    assert house.stop() == 0
    assert "Traceback" not in house.log.read_text()
