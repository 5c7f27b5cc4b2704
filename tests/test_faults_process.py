"""A real service when something beneath it fails, or it is stopped: who is told what, and how it goes on."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from house import environment, houses, killed, serving, until
from service import OPENBOOK, Service, free_port
from stub_llm import StubLlm, stub_llm

pytestmark = [pytest.mark.process, pytest.mark.models]

REPLY = "The pump of station 3 is checked every 3 weeks [1]."
ASKED = {"question": "How often is the pump of station 3 checked?", "stream": True}
USUAL = {"OPENBOOK_WARM_UP": "0", "OPENBOOK_STOP_GRACE_S": "30"}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that has read a file."""
    folder = tmp_path_factory.mktemp("read")
    (folder / "station.md").write_text("# Station 3\n\nThe pump of station 3 is checked every 3 weeks.\n")
    with stub_llm(REPLY) as llm:
        Service(folder, environment(llm.url)).run("ingest", str(folder / "station.md"))
    return folder


@contextmanager
def up(folder: Path, llm_url: str, **settings: str) -> Iterator[Service]:
    service = Service(folder, environment(llm_url, **USUAL | settings)).start()
    try:
        yield service.wait_ready(120)
        assert service.stop(timeout_s=30) == 0
    finally:
        killed(service)  # or the next one finds its folder in use
    assert "Traceback" not in service.log.read_text()


def being_served(service: Service) -> float:
    scraped = httpx.get(f"{service.url}/metrics").text
    (value,) = re.findall(r"^openbook_http_requests_in_progress (\S+)$", scraped, re.MULTILINE)
    return float(value)


@pytest.fixture
def llm() -> Iterator[StubLlm]:
    with stub_llm(REPLY) as server:
        yield server


class Asking:
    """A question in a thread of its own, and the events that came."""

    def __init__(self, service: Service) -> None:
        self.events: list[ServerSentEvent] = []
        self._thread = threading.Thread(target=self._ask, args=[service.url])
        self._thread.start()

    def _ask(self, url: str) -> None:
        with (
            httpx.Client(timeout=60) as client,
            connect_sse(client, "POST", f"{url}/v1/answer", json=ASKED) as source,
        ):
            self.events.extend(source.iter_sse())

    @property
    def last(self) -> tuple[str, dict[str, Any]]:
        self._thread.join(60)
        return self.events[-1].event, json.loads(self.events[-1].data)


# --- being stopped ----------------------------------------------------------------------------------------------


def test_a_stop_lets_answers_finish_and_takes_no_more(read: Path, llm: StubLlm) -> None:
    llm.go_on.clear()
    with up(read, llm.url) as service:
        assert service.process
        asking = Asking(service)
        assert llm.talking.wait(30)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{service.url}/v1/status").status_code == 503)
        refused = httpx.post(f"{service.url}/v1/answer", json=ASKED)
        assert refused.json()["code"] == "ServiceStopping"
        assert int(refused.headers["retry-after"]) > 0
        assert service.process.poll() is None
        llm.go_on.set()
        name, answer = asking.last
        assert (name, answer["text"]) == ("answer", REPLY)


def test_an_answer_that_does_not_finish_in_time_ends_with_an_error(read: Path, llm: StubLlm) -> None:
    llm.go_on.clear()
    with up(read, llm.url, OPENBOOK_STOP_GRACE_S="1") as service:
        asking = Asking(service)
        assert llm.talking.wait(30)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 15
        name, problem = asking.last
        assert (name, problem["code"], problem["retryable"]) == ("error", "ServiceStopping", True)
        assert llm.gone.wait(5), "the model went on for nobody"


def test_a_second_signal_does_not_wait(read: Path, llm: StubLlm) -> None:
    llm.go_on.clear()
    with up(read, llm.url) as service:
        assert service.process
        asking = Asking(service)
        assert llm.talking.wait(30)
        began = time.monotonic()
        service.process.send_signal(signal.SIGINT)
        until(lambda: httpx.get(f"{service.url}/v1/status").status_code == 503)
        assert service.stop(signal.SIGINT) == 0
        assert time.monotonic() - began < 15
        assert asking.last[0] == "error"


def test_who_follows_a_job_is_told_and_the_job_goes_on_after_a_restart(
    read: Path, llm: StubLlm, tmp_path: Path
) -> None:
    for at in range(150):
        lines = "".join(f"Sentence {j} about pump {at} and valve {j * at}.\n" for j in range(60))
        (tmp_path / f"{at}.md").write_text(lines)
    with up(read, llm.url) as service:
        job = service.json("ingest", str(tmp_path), "--detach", "-c", "team")["job"]["id"]
        until(lambda: service.job(job)["files_done"] >= 1)
        following = subprocess.Popen(
            [OPENBOOK, "jobs", job, "--follow"],
            env=service.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: being_served(service) > 1)  # it, and what asks for the number
        assert service.stop() == 0
        _, err = following.communicate(timeout=30)
        assert (following.returncode, "Traceback" in err) == (3, False), err
    left = service.json("jobs", job)["job"]
    assert left["state"] in ("queued", "done")
    with up(read, llm.url) as service:
        until(
            lambda: service.job(job)["files_done"] > left["files_done"] or service.job(job)["state"] == "done"
        )
        assert service.job(job)["attempts"] == 1
        service.run("jobs", job, "--cancel", check=False)


# --- what it needs fails ----------------------------------------------------------------------------------------


@contextmanager
def simulated(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A model server that writes slowly."""
    arguments = ["--port", str(port), "--tokens-per-second", "5"]
    process = subprocess.Popen([OPENBOOK, "simulate", *arguments], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port))
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_model_server_that_is_killed_within_an_answer_is_used_again_when_it_is_back(read: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    with simulated(port) as model, up(read, url) as service:
        asking = Asking(service)
        until(lambda: any(event.event == "piece" for event in asking.events))
        model.kill()
        name, problem = asking.last
        assert (name, problem["code"], problem["retryable"]) == ("error", "ModelUnavailable", True)
        away = httpx.post(f"{service.url}/v1/answer", json=ASKED, timeout=30)
        assert (away.status_code, away.json()["code"]) == (503, "ModelUnavailable")
        assert int(away.headers["retry-after"]) > 0
        assert httpx.get(f"{service.url}/readyz").status_code == 503
        with simulated(port):
            assert httpx.get(f"{service.url}/readyz").status_code == 200
            name, answer = Asking(service).last
            assert (name, answer["answerable"]) == ("answer", True)


def test_a_qdrant_server_that_does_not_answer_is_told_in_time(tmp_path: Path, llm: StubLlm) -> None:
    silent = socket.create_server(("127.0.0.1", 0), backlog=64)  # takes connections, says nothing
    with closing(silent), houses(tmp_path, llm.url) as make:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        service = serving(make(OPENBOOK_QDRANT_URL=url, OPENBOOK_STORE_TIMEOUT_S="1"))
        began = time.monotonic()
        reply = httpx.post(f"{service.url}/v1/answer", json=ASKED, timeout=60)
        assert (reply.status_code, reply.json()["code"]) == (503, "StoreUnavailable")
        assert time.monotonic() - began < 10
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        assert service.stop(timeout_s=30) == 0
