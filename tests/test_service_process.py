"""The console script as a process of its own: one owner, one result with and without a service, every way to stop."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from house import comparable, corpus, environment, houses, serving, until
from service import OPENBOOK, Service, free_port
from stub_llm import StubLlm, stub_llm

pytestmark = pytest.mark.process

REPLY = "The pump of station 3 is checked every 3 weeks [1]."
QUESTION = "How often is the pump of station 3 checked?"


@pytest.fixture(scope="module")
def llm() -> Iterator[StubLlm]:
    with stub_llm(REPLY) as server:
        yield server


@pytest.fixture
def make(llm: StubLlm, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    with houses(tmp_path, llm.url) as make:
        yield make


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
