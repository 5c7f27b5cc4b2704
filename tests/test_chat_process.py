"""``openbook chat`` at a terminal, alone and through a service; conversations outlive a service that is killed."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from house import houses
from service import OPENBOOK, Service
from stub_llm import StubLlm, stub_llm

pytestmark = [pytest.mark.process, pytest.mark.models]

REPLY = "The pump of station 3 is checked every 3 weeks [1]."
QUESTION = "How often is the pump of station 3 checked?"


@pytest.fixture
def llm() -> Iterator[StubLlm]:
    with stub_llm(REPLY) as server:
        yield server


@pytest.fixture
def house(llm: StubLlm, tmp_path: Path) -> Iterator[Service]:
    """A data folder with one document; its service is not started yet."""
    (tmp_path / "station.md").write_text("# Station 3\n\nThe pump of station 3 is checked every 3 weeks.\n")
    with houses(tmp_path, llm.url) as make:
        service = make(TERM="dumb")
        service.run("ingest", str(tmp_path / "station.md"))
        yield service


class Typist:
    """Types into a command at a terminal of its own and reads what it shows."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self._terminal, side = pty.openpty()
        self.process = subprocess.Popen(
            [OPENBOOK, *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            env=environment,
            start_new_session=True,
        )
        os.close(side)
        self.shown, self._seen = "", 0

    def type(self, text: str) -> None:
        self._seen = len(self.shown)
        os.write(self._terminal, text.encode())

    def until(self, pattern: str, seconds: float = 60) -> str:
        """What is shown since the last typing, once it matches."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.shown[self._seen :]):
            assert time.monotonic() < deadline, self.shown
            if select.select([self._terminal], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self._terminal, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    deadline = 0
        return self.shown[self._seen :]

    def close(self) -> int:
        code = self.process.wait(60)
        os.close(self._terminal)
        return code


@pytest.mark.parametrize("served", [False, True])
def test_a_chat_at_a_terminal(house: Service, llm: StubLlm, served: bool) -> None:
    if served:
        house.start().wait_ready()
    typist = Typist(house.environment, "chat")
    typist.until(r"conversation [0-9a-f]{32}")
    typist.until(r"> ")
    typist.type(QUESTION + "\r")
    shown = typist.until(r"64 of [\d,]+ tokens from cache[^;]*; 11 out; [\d.]+ s\s[^>]*> ")
    assert REPLY in shown
    assert "[1] " in shown

    llm.go_on.clear()
    llm.talking.clear()
    typist.type("Why?\r")
    assert llm.talking.wait(60)
    os.killpg(typist.process.pid, signal.SIGINT)  # as Ctrl-C at a terminal
    typist.until(r"the conversation goes on without it\s+> ")
    assert llm.gone.wait(10)
    llm.go_on.set()
    typist.type("Why?\r")
    typist.until(r"Searched for: [^>]*> ")
    typist.type("\x04")
    assert typist.close() == 0
    history = house.data / "chat_history"
    assert history.read_text().splitlines()[0] == QUESTION
    assert history.stat().st_mode & 0o077 == 0


def asked_until_killed(house: Service, llm: StubLlm, body: dict[str, str]) -> None:
    asked = body | {"stream": True}
    with httpx.stream("POST", f"{house.url}/v1/answer", json=asked, timeout=60) as answer:
        for _ in answer.iter_lines():
            if llm.talking.is_set():
                house.stop(signal.SIGKILL)


def test_a_conversation_outlives_a_service_that_is_killed(house: Service, llm: StubLlm) -> None:
    house.start().wait_ready()
    id_ = httpx.post(f"{house.url}/v1/conversations", json={}).json()["id"]
    body = {"question": QUESTION, "conversation": id_}
    assert httpx.post(f"{house.url}/v1/answer", json=body, timeout=60).status_code == 200
    llm.go_on.clear()
    llm.talking.clear()
    with pytest.raises(httpx.TransportError):
        asked_until_killed(house, llm, body)
    llm.go_on.set()
    house.start().wait_ready()
    turns = httpx.get(f"{house.url}/v1/conversations/{id_}").json()["turns"]
    assert [turn["answer"]["text"] for turn in turns] == [REPLY]
    assert httpx.post(f"{house.url}/v1/answer", json=body, timeout=60).status_code == 200
    assert len(httpx.get(f"{house.url}/v1/conversations/{id_}").json()["turns"]) == 2
    house.stop()
