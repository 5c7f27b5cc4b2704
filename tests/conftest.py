"""Lanes: tests without a marker may not touch the network at all; markers are described in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import hypothesis
import pytest

from ingest.workers import InProcess

# HYPOTHESIS_PROFILE=thorough looks further than every run can.
hypothesis.settings.register_profile("quick", max_examples=25, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

ROOT = Path(__file__).resolve().parent.parent
NETWORKED = ("process", "models", "offline", "vllm")
MEMORY = Path("/dev/shm")


def pytest_configure(config: pytest.Config) -> None:
    # What a shell starts in the background is deaf to Ctrl-C, and so would be what the tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # An index flushes to disk at every step; in memory the unit lane does not wait for the disk.
    if config.option.basetemp is None and os.access(MEMORY, os.W_OK):
        config.option.basetemp = str(MEMORY / f"openbook-tests-{os.getpid()}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if str(config.option.basetemp).startswith(str(MEMORY / "openbook-tests-")):
        shutil.rmtree(config.option.basetemp, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(request.node.get_closest_marker(name) for name in NETWORKED):
        return

    def refused(*args: object, **_kwargs: object) -> object:
        raise AssertionError(f"a unit test reached for the network: {args!r}")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture(autouse=True)
def _quick_reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in the test's own process, and what cannot be read is not tried again with unstructured: to
    start a process, and to import that, takes longer than a unit test may."""
    if not any(request.node.get_closest_marker(name) for name in NETWORKED):
        monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
        monkeypatch.setattr("ingest.parse.read_again", lambda *_: None)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A developer's settings must not decide what a test does, and no test may write to their data folder."""
    for name in list(os.environ):
        if name.startswith("OPENBOOK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def samples() -> Path:
    return ROOT / "samples"


@pytest.fixture(scope="session")
def openbook_command() -> str:
    """The console script of the environment that runs the tests."""
    return str(Path(sys.prefix) / "bin" / "openbook")
