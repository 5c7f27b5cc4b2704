"""``openbook doctor --spark``: what the machine tells of itself, its disk's speed, and whether prompts are reused."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

from api import machine, reuse
from api.finding import Finding, findings
from api.machine import Gpu
from rag.calibrate import sender_of
from rag.compose import chat_client
from rag.errors import RagError
from rag.settings import Settings

MEMINFO = Path("/proc/meminfo")
CONTAINER = Path("/.dockerenv")
SMI = "nvidia-smi"
DISK_BYTES, PIECE = 512 * 2**20, 8 * 2**20
DISK_S = 5.0  # each way, at most
SLOW_DISK = 1e9  # bytes a second; a Spark's NVMe reads 5 to 10 GB/s
REUSE_S = 300.0
LOOK_S = 0.3  # between two looks at the GPU while it works


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding after another; none of them raises."""
    seen: list[Gpu] = []
    yield from findings(
        (
            ("driver", lambda _: _driver()),
            ("memory", lambda _: machine.memory(_meminfo(), _gpus())),
            ("page cache", lambda _: machine.page_cache(_meminfo())),
            ("swap", lambda _: machine.swap(_meminfo())),
            ("disk speed", _disk),
            (reuse.NAME, lambda given: asyncio.run(_reuse(given, seen))),
            ("clocks", lambda _: machine.clocks(seen)),
        ),
        settings,
    )


def _meminfo() -> dict[str, int]:
    return machine.meminfo(MEMINFO.read_text())


def _gpus() -> list[Gpu]:
    """None where there is no nvidia-smi, or it fails."""
    if shutil.which(SMI) is None:
        return []
    command = [SMI, f"--query-gpu={','.join(machine.QUERY)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return []
    return machine.gpus(done.stdout)


def _driver() -> Finding:
    if shutil.which(SMI) is None:
        if CONTAINER.exists():
            return Finding(
                "driver", "skipped", "in this container there is no GPU; look with nvidia-smi outside"
            )
        return Finding("driver", "fail", "there is no nvidia-smi", "Install NVIDIA's driver; DGX OS has it.")
    return machine.driver(_gpus())


def _disk(settings: Settings) -> Finding:
    """Of the data folder's disk. What was written is read back from it, not from memory, where the system lets go."""
    folder = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    name = "disk speed"
    if shutil.disk_usage(folder).free < 4 * DISK_BYTES:
        return Finding(name, "skipped", f"too little is free at {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            written = _paced(lambda: file.write(_PIECE_OF_NOISE), DISK_BYTES, lambda: os.fsync(file.fileno()))
            size = file.tell()
            file.seek(0)
            os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_DONTNEED)
            read = _paced(lambda: len(file.read(PIECE)), size)
    except OSError as error:
        return Finding(name, "skipped", f"{folder} cannot be written: {error.strerror}")
    detail = f"{written / 1e9:.1f} GB/s written, {read / 1e9:.1f} GB/s read at {folder}"
    if read < SLOW_DISK:
        return Finding(name, "warn", detail, "Put OPENBOOK_DATA_DIR and the models on an NVMe disk.")
    return Finding(name, "ok", detail)


_PIECE_OF_NOISE = os.urandom(2**16) * (PIECE // 2**16)  # that no disk compresses


def _paced(step: Callable[[], int], most: int, end: Callable[[], None] = lambda: None) -> float:
    """Bytes a second of as many steps as make up ``most``, or as fit into DISK_S."""
    began, done = time.perf_counter(), 0
    while done < most and time.perf_counter() - began < DISK_S:
        done += step()
    end()
    return done / (time.perf_counter() - began)


async def _reuse(settings: Settings, seen: list[Gpu]) -> Finding:
    """Of the model server that OPENBOOK_LLM_URL names. Looks at the GPU meanwhile."""
    if settings.llm_url is None:
        return Finding(reuse.NAME, "skipped", "OPENBOOK_LLM_URL names no model server")
    client = chat_client(settings, None)
    looking = asyncio.create_task(_look(seen))
    try:
        async with asyncio.timeout(REUSE_S):
            window = (await client.model()).window
            # A salt of its own: nothing that others sent can be found, and nothing of this by them.
            sender = await sender_of(client.salted(token_hex(16)), time.perf_counter)
            return reuse.judge(await reuse.measure(sender, window))
    except RagError as error:
        return Finding(reuse.NAME, "fail", error.message, error.hint)
    except TimeoutError:
        return Finding(
            reuse.NAME,
            "warn",
            f"not done within {REUSE_S:.0f} s",
            "Is the model server busy? Try again later.",
        )
    finally:
        looking.cancel()
        await client.close()


async def _look(seen: list[Gpu]) -> None:
    while found := await asyncio.to_thread(_gpus):
        seen.append(found[0])
        await asyncio.sleep(LOOK_S)
