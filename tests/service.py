"""A real openbook service as a child of the tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from rag import owner

OPENBOOK = str(Path(sys.prefix) / "bin" / "openbook")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """``openbook serve`` on a free port and a data folder of its own; ``run`` is the command line beside it."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = os.environ, wrap: tuple[str, ...] = ()):
        self.data, self.log = folder / "data", folder / "serve.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._wrap = wrap
        self.environment = dict(environment) | {
            "OPENBOOK_DATA_DIR": str(self.data),
            "OPENBOOK_PORT": str(self.port),
            "PYTHONWARNINGS": "error::DeprecationWarning:rag,error::DeprecationWarning:api",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Service:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._wrap, OPENBOOK, "serve"], stdout=log, stderr=log, env=self.environment
            )
        return self

    def wait_ready(self, timeout_s: float = 400) -> Service:
        done = self.run("status", "--wait", "--timeout", str(timeout_s), check=False)
        assert done.returncode == 0, f"{done.stderr}\n{self.log.read_text()[-3000:]}"
        return self

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._wrap, OPENBOOK, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=600,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def job(self, id_: str) -> Any:
        """From the running service, at once: a command takes a second, in which a job goes on."""
        record = owner.find(self.data)
        assert record
        headers = {"Authorization": f"Bearer {record.token}"}
        return httpx.get(f"{self.url}/v1/jobs/{id_}", headers=headers).json()["job"]

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60) -> int:
        """The exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


def children_of(pid: int) -> set[int]:
    """All processes below ``pid``, from /proc."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    below: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in below | {pid}} - below:
        below |= more
    return below


def alive(pids: set[int]) -> set[int]:
    """Those that run: one that has ended may wait a while until its parent, or init, asks for its exit code."""
    return {pid for pid in pids if _state(pid) not in ("", "Z")}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def gone_within(pids: set[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive(pids)
