"""First use from end to end where every way off the machine is closed, and an attempt to take one is noted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service import Service

pytestmark = pytest.mark.offline

GUARD = Path(__file__).resolve().parent / "offline_guard"


def namespace() -> tuple[str, ...]:
    """A prefix that runs a command where only loopback exists, or nothing where the kernel forbids that."""
    prefix = ("unshare", "-rn", sys.executable, str(GUARD / "in_namespace.py"))
    can = (
        shutil.which("unshare")
        and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    )
    return prefix if can else ()


def guarded(folder: Path) -> dict[str, str]:
    """The environment in which Python itself refuses to leave; without the settings that ask libraries to
    stay, so that openbook's own are what keeps them."""
    quiet = (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "DO_NOT_TRACK",
        "VLLM_NO_USAGE_STATS",
        "UNSTRUCTURED_DISABLE_NOTICE",
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENBOOK_") and k not in quiet}
    return kept | {
        "PYTHONPATH": str(GUARD),
        "NETWORK_GUARD_LOG": str(folder / "attempts.log"),
        "HOME": str(folder),  # no cache of an earlier download may help
    }


def test_the_guard_bites(tmp_path: Path) -> None:
    for code in (
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)",
        "import urllib.request; urllib.request.urlopen('http://example.invalid/')",
    ):
        done = subprocess.run(
            [*namespace(), sys.executable, "-c", code],
            env=guarded(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "the offline lane refuses" in done.stderr
    assert "192.0.2.1" in (tmp_path / "attempts.log").read_text()


def test_nothing_leaves_the_machine(tmp_path: Path, samples: Path) -> None:
    # The command line and the service must share one namespace to meet on loopback: one shell runs them all.
    script = f"""
        set -e
        openbook serve > {tmp_path}/serve.log 2>&1 &
        service=$!
        trap 'kill $service; wait $service' EXIT
        openbook status --wait --timeout 400
        openbook ingest {samples} -c samples
        openbook search 'error code E07' -c samples
        openbook ask 'How much money did the committee approve for the year?' -c samples
        openbook doctor
    """
    service = Service(tmp_path, guarded(tmp_path))
    environment = service.environment | {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        [*namespace(), "bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    log = (tmp_path / "serve.log").read_text()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log}"
    assert "18,400" in done.stdout
    attempts = tmp_path / "attempts.log"
    assert not attempts.exists(), attempts.read_text()
