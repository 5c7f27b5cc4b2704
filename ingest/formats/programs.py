"""Other programs that read files for a parser. None outlives the process that asked it, however that process ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

# Beside the program, in a process group of theirs, waits a shell for the end of a pipe (number $0) whose other end
# this process alone holds; with it the group ends, whatever children the program has started.
_LEASH = '(read -r _ </dev/fd/"$0"; kill -KILL 0) >/dev/null 2>&1 & exec "$@"'


def run(
    command: Sequence[str], timeout_s: float, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """With ``data`` as its input. Raises subprocess.TimeoutExpired; what it has started has then ended, too."""
    watched, held = os.pipe()
    try:
        process = subprocess.Popen(
            ["sh", "-c", _LEASH, str(watched), *command],
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[watched],
            start_new_session=True,
        )
        os.close(watched)
        with process:
            try:
                said, complained = process.communicate(data, timeout=timeout_s)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(list(command), process.returncode, said, complained)
    finally:
        os.close(held)
