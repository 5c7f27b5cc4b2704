"""How worker processes begin: what they inherit, what bounds them, and what ends them."""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NICE = 5  # questions to the same machine come first
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def begin(memory_bytes: int, scratch: Path | None) -> None:
    """In the worker, first."""
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    if sys.platform == "linux":
        # Its parent is the server, which ends with this program as long as no worker holds the other end of the
        # server's pipe, which multiprocessing gives to all of them.
        server: Any = multiprocessing.forkserver._forkserver
        if server._forkserver_alive_fd is not None:
            os.close(server._forkserver_alive_fd)
            server._forkserver_alive_fd = None
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _limit_memory(memory_bytes)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(_NICE)


def _limit_memory(more: int) -> None:
    """Of data (heap and private mappings), not of address space: libraries reserve much that they never touch."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _taken() + more if hard == resource.RLIM_INFINITY else min(_taken() + more, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def room() -> int | None:
    """Bytes that this worker may still take; None where nothing limits it."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if limit == resource.RLIM_INFINITY else limit - _taken()


def _taken() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))


def context(preload: str) -> Any:
    """Workers are forked from a server that has the module ``preload``, so starting one takes milliseconds; it is no
    fork of this process, whose threads and locks a fork would break. It ends when this process does."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["__main__", preload])
    return forking


@contextmanager
def deaf_and_safe() -> Iterator[None]:
    """While the server is started: Ctrl-C is for this process alone, and a folder named as one of our packages, where
    the user stands, must not be taken for it."""
    from multiprocessing import resource_tracker

    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    resource_tracker.ensure_running()  # apart, since it lifts the block on its way
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
