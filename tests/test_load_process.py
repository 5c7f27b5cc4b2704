"""A short form of benchmarks/load.py: many questions at once beside uploads, without an error."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from conftest import ROOT
from service import free_port

pytestmark = pytest.mark.process

LOAD = ROOT / "benchmarks" / "load.py"


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., AbstractContextManager[int]]:
    """That of the benchmark, for a command that does as the script says."""
    spec = importlib.util.spec_from_file_location("load", LOAD)
    assert spec
    assert spec.loader
    load = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "load", load)
    spec.loader.exec_module(load)

    def started(script: str, ready: str, start_s: float = 10) -> AbstractContextManager[int]:
        command = tmp_path / "openbook"
        command.write_text(f"#!{sys.executable}\n{script}")
        command.chmod(0o755)
        monkeypatch.setattr(load, "OPENBOOK", command)
        monkeypatch.setattr(load, "START_S", start_s)
        made: AbstractContextManager[int] = load.child("serve", ready=ready, log=tmp_path / "serve.log")
        return made

    return started


def test_a_service_that_never_becomes_ready_fails_the_benchmark(
    child: Callable[..., AbstractContextManager[int]],
) -> None:
    script = "import time\nprint('waits', flush=True)\ntime.sleep(60)\n"
    began = time.monotonic()
    with (
        pytest.raises(SystemExit, match=r"(?s)openbook serve is not ready: .*waits"),
        child(script, f"http://127.0.0.1:{free_port()}/readyz", 2),
    ):
        pytest.fail("it was taken for ready")
    assert time.monotonic() - began < 30


def test_a_service_that_does_not_end_in_order_fails_the_benchmark(
    child: Callable[..., AbstractContextManager[int]],
) -> None:
    port = free_port()
    script = (
        "import signal, sys\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\n"
        "class Ready(BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n"
        "        self.end_headers()\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(CODE))\n"
        f"HTTPServer(('127.0.0.1', {port}), Ready).serve_forever()\n"
    )
    ready = f"http://127.0.0.1:{port}/readyz"
    with child(script.replace("CODE", "0"), ready) as pid:
        assert pid
    with (
        pytest.raises(SystemExit, match="openbook serve ended with exit code 3"),
        child(script.replace("CODE", "3"), ready),
    ):
        pass


@pytest.mark.models
def test_many_questions_beside_an_upload_fail_in_nothing(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    sizes = ("--clients", "20", "--seconds", "5", "--upload-mb", "8", "--files", "5")
    done = subprocess.run(
        [sys.executable, str(LOAD), *sizes, "--json", str(figures)],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(figures.read_text())
    assert told["failed"] == {}
    assert told["questions"] >= 20
    assert told["uploads"] >= 1
