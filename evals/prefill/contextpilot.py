"""ContextPilot's order of retrieved documents, to compare with (Jiang et al., https://arxiv.org/abs/2511.03475).

It runs as a child, in the environment of this command or in one of its own: what comes with it (a pinned
elasticsearch, hooks into vLLM at every start of that Python) need not be in ours.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rag.errors import BadRequest

VERSION = "0.5.0"
CHILD = Path(__file__).with_name("contextpilot_child.py")


class ContextPilot:
    """One live index, which knows what it has put in order so far. ``noise`` is what the child says of itself."""

    def __init__(self, child: asyncio.subprocess.Process, noise: BinaryIO) -> None:
        self._child, self._noise = child, noise

    async def arrange(self, nodes: Sequence[int], conversation: str | None) -> tuple[list[int], list[str]]:
        """The nodes in its order; of a follow-up those that no earlier turn holds, and its hints at the others."""
        if not nodes:  # it cannot put nothing in order
            return [], []
        line = json.dumps({"nodes": list(nodes), "conversation": conversation})
        answer = await self._exchange(f"{line}\n")
        return answer["nodes"], answer["hints"]

    async def greeted(self) -> None:
        """Raises BadRequest where it is not installed, or another version."""
        if (found := (await self._exchange(""))["version"]) != VERSION:
            raise BadRequest(
                f"ContextPilot {found} is installed, not {VERSION}.",
                f"Run: pip install contextpilot=={VERSION}",
            )

    async def _exchange(self, line: str) -> Any:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(line.encode())
        said = await self._child.stdout.readline()
        if not said:
            await self._child.wait()
            self._noise.seek(0)
            *_, reason = [b"no word", *self._noise.read().splitlines()]
            raise BadRequest(
                f"ContextPilot ended: {reason.decode(errors='replace')}.",
                f"Run: pip install contextpilot=={VERSION}; --contextpilot-python names the interpreter that has it.",
            )
        return json.loads(said)


@asynccontextmanager
async def contextpilot(python: Path | None) -> AsyncIterator[ContextPilot]:
    """``python`` is the interpreter of the environment that holds it; by default this one."""
    command, pipe = (str(python or sys.executable), str(CHILD)), asyncio.subprocess.PIPE
    with tempfile.TemporaryFile() as noise:
        try:
            child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=noise)
        except OSError as error:
            raise BadRequest(f"{command[0]} cannot be run: {error.strerror}.") from error
        try:
            pilot = ContextPilot(child, noise)
            await pilot.greeted()
            yield pilot
        finally:
            if child.returncode is None:
                child.kill()
            await child.communicate()
