"""vLLM as a child of openbook: started, watched, restarted, and gone when openbook is gone.

vLLM lives in an environment of its own and is reached over HTTP only; vllm_guard.py stands between the two
processes, and vllm_command.py says how it is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from rag.errors import ModelNotInstalled, ModelUnavailable
from rag.models.kv_disk import KvDisk, prune
from rag.models.vllm_command import SERVER, child_environment, is_cpu_build, serving_flags

log = logging.getLogger(__name__)

State = Literal["stopped", "starting", "ready", "restarting", "failed"]

GUARD = Path(__file__).with_name("vllm_guard.py")

POLL_S = 0.5
LONGEST_PAUSE_S = 60.0
# A server that was ready this long before it died had nothing wrong with its start.
HEALTHY_AFTER_S = 120.0
USAGE_EXIT = 2  # argparse: the same arguments will be refused again

# What vLLM logs on its way up, in the order in which the lines come.
PROGRESS = (
    (re.compile(r"non-default args|Resolved architecture"), "reading the model's configuration"),
    (re.compile(r"Initializing a V1 LLM engine"), "starting the engine"),
    (re.compile(r"Starting to load model"), "loading weights"),
    (re.compile(r"Dynamo|Compiling a graph|[Cc]apturing CUDA graph"), "compiling kernels"),
    (re.compile(r"KV cache size|init engine"), "warming up"),
    (re.compile(r"Starting vLLM server|Application startup complete"), "opening its port"),
)
ERROR_LINE = re.compile(r"^[\w.]*(Error|Exception): |: error: |: No module named ")
LOG_PREFIX = re.compile(r"^(\(.*?pid=\d+\) )?([A-Z]+ \d\d-\d\d [\d:]+ \[[^\]]*\] )?")


@dataclass(frozen=True, slots=True)
class _Ended:
    """How one life of the server ended; ``ready_s`` is how long it had served, None if it never did."""

    why: str
    ready_s: float | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class VllmStatus:
    """``seconds`` in the present state; ``pid`` and ``url`` of the server, where there is one."""

    state: State
    detail: str
    seconds: float
    pid: int | None
    restarts: int
    url: str | None


class VllmProcess:
    def __init__(
        self,
        python: Path,
        model: Path,
        served_name: str,
        max_model_len: int,
        dtype: str,
        kv_cache_gib: int,
        extra_args: str,
        log_file: Path,
        start_timeout_s: float,
        on_progress: Callable[[str], None] | None = None,
        *,
        kv_disk: KvDisk | None = None,
        alone: bool = True,
        server: Sequence[str] = SERVER,
        tries: int = 3,
        first_pause_s: float = 1.0,
        grace_s: float = 10.0,
    ) -> None:
        """``alone``: no other model server runs beside it. ``server`` is what follows the interpreter in the command;
        the tests put a small program there.

        ``tries``: starts in a row without ever becoming ready before it gives up. ``grace_s``: how long vLLM may
        take to end by itself.
        """
        self._python, self._model = python, model
        self._server = tuple(server)
        cpu = is_cpu_build(python)
        self._flags = serving_flags(
            model, served_name, max_model_len, dtype, kv_cache_gib, extra_args,
            cpu=cpu, kv_disk=kv_disk, alone=alone,
        )  # fmt: skip
        self._kv_disk = kv_disk
        self._environment = child_environment(kv_cache_gib, cpu=cpu, alone=alone)
        self._log_file, self._start_timeout_s = log_file, start_timeout_s
        self._on_progress = on_progress
        self._tries, self._first_pause_s, self._grace_s = tries, first_pause_s, grace_s
        self._state: State = "stopped"
        self._detail, self._since = "not started", time.monotonic()
        self._port, self._restarts = 0, 0
        self._pid: int | None = None
        self._log_start = 0  # where in the log file the present run begins, in bytes
        self._changed = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """The address for clients, ``http://127.0.0.1:PORT/v1``; it may change when the server restarts."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def status(self) -> VllmStatus:
        seconds = time.monotonic() - self._since
        url = self.base_url if self._pid else None
        return VllmStatus(self._state, self._detail, seconds, self._pid, self._restarts, url)

    async def start(self) -> None:
        """Begins; does not wait. Raises ModelNotInstalled when the environment or the model is missing."""
        if self._supervisor is not None:
            return
        for what, path in (("Python of vLLM's environment", self._python), ("model", self._model)):
            if not path.exists():
                raise ModelNotInstalled(f"The {what} is not there: {path}.", "Run: make setup")
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        if self._log_file.exists():
            self._log_file.replace(self._log_file.with_name(self._log_file.name + ".1"))
        self._port = _free_port(0)
        self._enter("starting", "starting Python and importing vLLM")
        self._supervisor = asyncio.create_task(self._supervise(), name="vllm")

    async def wait_ready(self) -> None:
        """Raises ModelUnavailable, with the end of the log, when it gave up or was stopped."""
        while self._state != "ready":
            if self._supervisor is None or self._state == "failed":
                tail = "".join(f"\n  | {line}" for line in (await asyncio.to_thread(self._lines))[-12:])
                raise ModelUnavailable(
                    f"The model server is not running: {self._detail}.{tail}",
                    f"\nThe whole log: {self._log_file}",
                )
            await self._changed.wait()

    async def stop(self) -> None:
        """Ends vLLM and everything it started; returns when they are gone."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        self._enter("stopped", "stopped")

    async def _supervise(self) -> None:
        starts, deaths = 0, 0  # in a row: starts that never became ready, deaths without long service before
        try:
            while True:
                ended = await self._run_once()
                starts = 0 if ended.ready_s is not None else starts + 1
                deaths = 1 if (ended.ready_s or 0) > HEALTHY_AFTER_S else deaths + 1
                if starts >= self._tries or ended.is_final:
                    await self._give_up(ended, starts)
                    return
                pause = min(self._first_pause_s * 2 ** (deaths - 1), LONGEST_PAUSE_S)
                log.warning("vLLM %s; starting again in %.0f s", ended.why, pause)
                self._enter("restarting", f"vLLM {ended.why}; next try in {pause:.0f} s")
                await asyncio.sleep(pause)
                self._restarts += 1
        except Exception as error:  # waiters must hear of it: nobody awaits this task
            log.exception("the supervision of vLLM failed")
            self._enter("failed", f"{type(error).__name__}: {error}")

    async def _give_up(self, ended: _Ended, starts: int) -> None:
        causes = [line for line in await asyncio.to_thread(self._lines) if ERROR_LINE.search(line)]
        detail = f"vLLM {ended.why}" + (f" ({starts} tries)" if starts > 1 else "")
        if causes:  # the first names what went wrong; the later ones say that something did
            detail += f": {causes[0].strip()[:300]}"
        log.error("%s", detail)
        self._enter("failed", detail)

    async def _run_once(self) -> _Ended:
        """One life of the server, from start to end."""
        self._port = _free_port(self._port)
        self._enter("starting", "starting Python and importing vLLM")
        if self._kv_disk:
            await asyncio.to_thread(prune, self._kv_disk)
        with self._log_file.open("ab") as sink:
            self._log_start = sink.tell()
            guard = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=sink,
                env=self._environment,
                cwd=self._log_file.parent,
                start_new_session=True,  # signals from a terminal are for openbook alone
            )
        try:
            assert guard.stdout is not None
            line = await guard.stdout.readline()
            self._pid = int(line) if line else None
            return await self._watch(guard)
        finally:
            await asyncio.shield(self._end(guard))

    def _command(self) -> list[str]:
        guard = [sys.executable, "-I", str(GUARD), str(os.getpid()), str(self._grace_s)]
        port = ["--host", "127.0.0.1", "--port", str(self._port)]
        return [*guard, str(self._python), *self._server, *self._flags, *port]

    async def _watch(self, guard: asyncio.subprocess.Process) -> _Ended:
        started, ready_at = time.monotonic(), None
        exited = asyncio.create_task(guard.wait())
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
                while ready_at is None and not exited.done():
                    if time.monotonic() - started > self._start_timeout_s:
                        return _Ended(f"was not ready within {self._start_timeout_s:.0f} s", is_final=True)
                    self._report(await asyncio.to_thread(self._lines))
                    if await _is_healthy(client, self._port):
                        ready_at = time.monotonic()
                        self._enter("ready", f"ready after {ready_at - started:.0f} s")
                    else:
                        await asyncio.wait([exited], timeout=POLL_S)
            code = await exited
        finally:
            exited.cancel()
        if ready_at is None:
            seconds = time.monotonic() - started
            return _Ended(f"ended with {_exit(code)} after {seconds:.0f} s", is_final=code == USAGE_EXIT)
        served = time.monotonic() - ready_at
        return _Ended(f"ended with {_exit(code)} after {served:.0f} s of service", ready_s=served)

    async def _end(self, guard: asyncio.subprocess.Process) -> None:
        """The guard ends the tree when its standard input closes; should it be gone, its group is ended here."""
        assert guard.stdin is not None
        guard.stdin.close()
        try:
            code = await asyncio.wait_for(guard.wait(), self._grace_s + 10)
        except TimeoutError:
            guard.kill()
            code = await guard.wait()
        if code < 0 and self._pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        self._pid = None

    def _enter(self, state: State, detail: str) -> None:
        if state != self._state:
            self._since = time.monotonic()
        if self._on_progress is not None and (state, detail) != (self._state, self._detail):
            self._on_progress(detail)
        self._state, self._detail = state, detail
        self._changed.set()
        self._changed = asyncio.Event()

    def _report(self, lines: Sequence[str]) -> None:
        reached = [text for pattern, text in PROGRESS if any(pattern.search(line) for line in lines)]
        if reached and reached[-1] != self._detail:
            self._enter("starting", reached[-1])

    def _lines(self) -> list[str]:
        """The log of the present run, at most its last 256 KiB, without vLLM's prefixes."""
        try:
            with self._log_file.open("rb") as source:
                end = source.seek(0, os.SEEK_END)
                source.seek(max(self._log_start, end - 256 * 1024))
                text = source.read().decode(errors="replace")
        except OSError:
            return []
        return [line for raw in text.splitlines() if (line := LOG_PREFIX.sub("", raw).rstrip())]


def _free_port(wanted: int) -> int:
    """``wanted`` if it is still free, so that clients find a restarted server where it was; else any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ModelUnavailable("No port is free on 127.0.0.1 for the model server.")


async def _is_healthy(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200
    except httpx.HTTPError:
        return False


def _exit(code: int) -> str:
    """The guard reports a signal as a shell does, 128 and its number."""
    if code > 128:
        with contextlib.suppress(ValueError):
            return signal.Signals(code - 128).name
    return f"exit code {code}" if code >= 0 else f"its guard killed by {signal.Signals(-code).name}"
