"""Stands between openbook and vLLM, so that vLLM never outlives openbook, however openbook ends.

    python vllm_guard.py PARENT_PID GRACE_SECONDS COMMAND...

vLLM is a tree of processes (API server, engine, workers), and a process killed with SIGKILL cannot clean up.
So this one waits beside it: it runs COMMAND in a session of its own, writes its process id to standard output,
and ends the whole tree when standard input closes (openbook holds the other end), when PARENT_PID is no longer
its parent, or on SIGTERM. When COMMAND ends by itself, what is left of the tree is ended too, and the guard
exits with its code. Run by path, with the standard library only, by any Python.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

POLL_S = 0.5


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def die_with_guard() -> None:
    """In the child before exec: should the guard itself be killed, vLLM is asked to end."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def group_signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(group, number)


def children() -> list[int]:
    """Processes whose parent is this one: as a subreaper it inherits every orphan of the tree."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (name) state ppid ...": the name may hold spaces and brackets.
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.append(int(stat.parent.name))
    return found


def group_alive(group: int) -> bool:
    while True:  # collect what has ended, so that only the living answer the signal below
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_tree(group: int, grace_s: float) -> None:
    """SIGTERM, up to ``grace_s`` seconds of patience, then SIGKILL; then the same for strays."""
    if grace_s > 0:
        group_signal(group, signal.SIGTERM)
        limit = time.monotonic() + grace_s
        while group_alive(group) and time.monotonic() < limit:
            time.sleep(0.05)
    group_signal(group, signal.SIGKILL)
    while strays := children():  # killing one can hand its children to us: until there are none
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        group_alive(group)


def watch(child: subprocess.Popen[bytes], parent: int, asked: list[int]) -> int | None:
    """The exit code of the child, or None when it is to be ended."""
    while True:
        code = child.poll()
        if code is not None:
            return code
        if asked or os.getppid() != parent:
            return None
        readable, _, _ = select.select([0], [], [], POLL_S)
        if readable and not os.read(0, 1024):
            return None


def main() -> int:
    parent, grace_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    asked: list[int] = []
    # A terminal's Ctrl-C is for openbook, which then stops vLLM in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,  # the log file; standard output is the line to openbook
        start_new_session=True,
        preexec_fn=die_with_guard,  # noqa: PLW1509 -- unsafe with threads; there are none here
    )
    try:
        os.write(1, b"%d\n" % child.pid)
        code = watch(child, parent, asked)
    except BrokenPipeError:  # openbook went away between starting this and reading
        code = None
    end_tree(child.pid, 0.0 if code is not None else grace_s)
    if code is None:
        return 0
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
