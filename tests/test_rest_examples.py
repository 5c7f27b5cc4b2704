"""The examples of docs/rest.md, run against a service on a real socket, from top to bottom."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conftest import ROOT
from fake_engine import REPLY, fake_engine
from ingest.workers import InProcess
from live import Live, live
from rag.answers import FILE, Answers

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]

PAGE = (ROOT / "docs" / "rest.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.S | re.M)


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)
    with fake_engine(tmp_path / ".openbook") as engine:
        engine.rag.answers = Answers(tmp_path / FILE, most=10)
        async with live(engine) as service:
            yield service
        engine.rag.answers.close()


async def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return str(done.stdout)


async def test_curl(service: Live, tmp_path: Path) -> None:
    script = "\n".join(["set -euo pipefail", *blocks("sh")])
    assert "http://127.0.0.1:8080" in script
    told = await run(tmp_path, "bash", "-c", script.replace("http://127.0.0.1:8080", service.url))
    for expected in (
        '"target_ttft_ms":3000',
        "event: job",
        '"replaced": 1',
        "# Gates",
        "event: piece",
        REPLY,
        '"removed":[{',
    ):
        assert expected in told
    assert "problem+json" not in told
    assert "urn:openbook" not in told


async def test_python(service: Live, tmp_path: Path) -> None:
    of_client, of_llama_index = blocks("python")
    told = await run(tmp_path, sys.executable, "-c", of_client)
    assert REPLY in told
    assert "'documents': 1" in told
    told = await run(tmp_path, sys.executable, "-c", of_llama_index)
    assert REPLY in told
    assert "{'added': 1}" in told
    assert "The tide comes twice a day. 1" in told
