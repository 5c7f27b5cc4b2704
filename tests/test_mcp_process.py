"""`openbook mcp serve` as a client starts it where no service runs: it makes one, which ends with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from rag import owner
from service import OPENBOOK, children_of, gone_within
from stub_llm import StubLlm, stub_llm

pytestmark = pytest.mark.process

REPLY = "The battery of the gauge lasts 400 days [1]."
WAIT_S = 120


class Spoken:
    """A child that is spoken to in lines, as the protocol has it."""

    def __init__(self, data: Path, llm: StubLlm, roots: Path) -> None:
        environment = dict(os.environ) | {
            "OPENBOOK_DATA_DIR": str(data),
            "OPENBOOK_LLM_URL": llm.url,
            "OPENBOOK_ROOTS": str(roots),
        }
        self.process = subprocess.Popen(
            [OPENBOOK, "mcp", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        self._number = 0
        self.ask(
            "initialize",
            protocolVersion="2025-06-18",
            capabilities={},
            clientInfo={"name": "test", "version": "0"},
        )
        self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._say({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self.process.stdout
        while line := self.process.stdout.readline():
            message: dict[str, Any] = json.loads(line)  # nothing but the protocol
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == self._number:
                result: dict[str, Any] = message["result"]
                return result
        raise AssertionError("it ended")

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """What it gives; it must not be an error."""
        result = self.ask("tools/call", name=name, arguments=arguments)
        assert not result.get("isError"), result
        given: dict[str, Any] = result["structuredContent"]
        return given

    def _say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def leave(self) -> str:
        """The rest of what it wrote to standard output."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)
        return self.process.stdout.read() if self.process.stdout else ""

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with suppress(OSError):
                    stream.close()


@pytest.fixture
def llm() -> Iterator[StubLlm]:
    with stub_llm(REPLY) as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "gauge.md").write_text("# Gauge\n\nThe battery of the gauge lasts 400 days.\n")
    return folder


@pytest.fixture
def start(tmp_path: Path, files: Path, llm: StubLlm) -> Iterator[Callable[[], Spoken]]:
    """Starts children, all on one data folder."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Spoken(tmp_path / "data", llm, files)))


@pytest.mark.models
def test_a_service_of_its_own_is_found_by_others_and_ends_with_it(
    tmp_path: Path, files: Path, start: Callable[[], Spoken]
) -> None:
    first = start()
    assert first.tool("collections")["collections"] == []
    assert first.tool("ingest", paths=[str(files)], wait_s=WAIT_S)["counts"] == {"added": 1}
    second = start()
    assert second.tool("search", query="battery")["passages"][0]["text"].startswith("# Gauge")
    answer = second.tool("ask", question="How long does the battery last?")
    assert (answer["answer"], answer["citations"][0]["grade"]) == (REPLY, "exact")
    record = owner.find(tmp_path / "data")
    assert record is not None
    assert (record.pid, record.doing) == (first.process.pid, "openbook mcp serve")
    below = children_of(first.process.pid)
    assert first.leave() == ""
    assert first.process.returncode == 0
    assert gone_within(below, 10)
    assert len(second.tool("search", query="battery")["passages"]) == 1  # it has made one of its own
    record = owner.find(tmp_path / "data")
    assert record is not None
    assert record.pid == second.process.pid
    second.leave()
    assert owner.find(tmp_path / "data") is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_the_client_is_there(
    number: signal.Signals, tmp_path: Path, start: Callable[[], Spoken]
) -> None:
    child = start()
    child.tool("collections")
    child.process.send_signal(number)
    assert child.process.wait(20) == 0
    assert not (tmp_path / "data" / "owner.json").exists()


def test_who_is_at_work_on_the_data_folder_is_named(tmp_path: Path, start: Callable[[], Spoken]) -> None:
    child = start()
    with owner.claim(tmp_path / "data", "openbook ingest"):
        began = time.monotonic()
        result = child.ask("tools/call", name="collections", arguments={})
        assert time.monotonic() - began < 10
    assert result["structuredContent"]["error"]["code"] == "DataFolderInUse"
    assert f"process {os.getpid()} (openbook ingest)" in result["content"][0]["text"]
    assert child.tool("collections")["collections"] == []  # and when it is free, it goes on
    child.leave()


def test_a_setting_that_is_wrong_is_told_before_anything_is_said(tmp_path: Path) -> None:
    environment = dict(os.environ) | {"OPENBOOK_DATA_DIR": str(tmp_path), "OPENBOOK_ROOTS": "relative"}
    done = subprocess.run(
        [OPENBOOK, "mcp", "serve"], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "OPENBOOK_ROOTS" in done.stderr
