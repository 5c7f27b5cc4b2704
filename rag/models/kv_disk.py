"""vLLM's KV cache on a disk: the flags that put it there, and the room that it may take.

vLLM writes each block of a prompt to a file named for the text up to its end and finds it again after a restart. It
deletes none, so that is done here, at each start of the server.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rag.errors import BadSetting

log = logging.getLogger(__name__)

# <model>_<configuration>_r<rank>/<hhh>/<hh>_g<group>/<hash>.bin, and what a killed server had not finished.
_LAYOUT = "*_r*/???/??_g*/*.bin*"
_BLOCK = re.compile(r"[0-9a-f]{16,}\.bin")
_UNFINISHED = re.compile(r"[0-9a-f]{16,}\.bin_\d+\.tmp")


@dataclass(frozen=True, slots=True)
class KvDisk:
    """``gib`` of files in ``folder`` at most, and GiB of memory through which blocks travel: those of a whole prompt
    pass through it at once."""

    folder: Path
    gib: int
    memory_gib: int


def flags(disk: KvDisk, *, cpu: bool) -> list[str]:
    """Raises BadSetting for the CPU build, whose connector has no copy from and to a CPU's KV cache."""
    if cpu:
        raise BadSetting(
            "OPENBOOK_KV_DISK needs a GPU: vLLM's CPU build cannot move its KV cache to a disk.",
            "Unset it, or set OPENBOOK_VLLM_PYTHON to an environment with vLLM for the GPU.",
        )
    tiers = {
        "spec_name": "TieringOffloadingSpec",
        "cpu_bytes_to_use": disk.memory_gib * 2**30,
        "secondary_tiers": [{"type": "fs", "root_dir": str(disk.folder)}],
    }
    connector = {
        "kv_connector": "OffloadingConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": tiers,
    }
    return ["--kv-transfer-config", json.dumps(connector)]


def prune(disk: KvDisk) -> None:
    """Deletes the files that were used least recently, until the others fit. Not while a server uses the folder."""
    found = sorted(_files(disk.folder), key=lambda file: file[0])
    left, size = disk.gib * 2**30, sum(size for _, size, _ in found)
    gone = 0
    for _, bytes_, path in found:
        if size <= left:
            break
        with suppress(FileNotFoundError):
            path.unlink()
        size -= bytes_
        gone += 1
    log.info("%s holds %.1f GiB of KV cache; %d old files deleted", disk.folder, size / 2**30, gone)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(last use, bytes, path) of each block; what was never finished is deleted."""
    for path in folder.glob(_LAYOUT):
        if _UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)
        elif _BLOCK.fullmatch(path.name):
            with suppress(FileNotFoundError):
                stat = path.stat()
                # Times of reading are often kept to the day only.
                yield max(stat.st_atime, stat.st_mtime), stat.st_size, path
