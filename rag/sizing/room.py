"""Whether model servers beside each other fit into the memory that is free, before any is started."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from rag.errors import ModelNotInstalled, NotEnoughMemory
from rag.sizing.plan import GIB, RUNTIME

CPU_RUNTIME = 2 * GIB  # Python, torch and workspaces of vLLM's processes on a CPU: measured, docs/log.md
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_OTHERS = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}
_CHOSEN = {"float32": 4, "bfloat16": 2, "float16": 2}
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Need:
    """What the server of one model takes, in bytes: ``weights``, the KV cache, and what is its ``own``."""

    name: str
    weights: int
    kv: int
    own: int

    @property
    def bytes(self) -> int:
        return self.weights + self.kv + self.own

    def __str__(self) -> str:
        parts = (("weights", self.weights), ("KV cache", self.kv), ("server", self.own))
        return f"{self.name} {_gib(self.bytes)} ({', '.join(f'{what} {_gib(size)}' for what, size in parts)})"


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of memory that are ``free``, of ``total``."""

    free: int
    total: int


def need(name: str, folder: Path, dtype: str, kv_bytes: int, *, cpu: bool) -> Need:
    """Raises ModelNotInstalled."""
    return Need(name, weight_bytes(folder, dtype), kv_bytes, CPU_RUNTIME if cpu else RUNTIME)


def weight_bytes(folder: Path, dtype: str) -> int:
    """Of a checkpoint as it is loaded, by the headers of its files: ``dtype`` as vLLM takes it. Raises
    ModelNotInstalled."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelNotInstalled(f"The model {folder} is not there, or has no weights.", "Run: make setup")
    tensors = [tensor for path in files for tensor in _header(path).values()]
    return sum(prod(tensor["shape"]) * _number_bytes(tensor["dtype"], dtype) for tensor in tensors)


def _header(path: Path) -> Mapping[str, Any]:
    """https://huggingface.co/docs/safetensors: the length of a header in JSON, and the header."""
    try:
        with path.open("rb") as file:
            read: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError) as error:
        raise ModelNotInstalled(f"The weights {path} cannot be read: {error}", "Fetch them again.") from error
    return {name: tensor for name, tensor in read.items() if name != "__metadata__"}


def _number_bytes(stored: str, dtype: str) -> int:
    """Quantized numbers stay as they are stored."""
    if stored in _FLOATS:
        return _CHOSEN.get(dtype, _FLOATS[stored])
    return _OTHERS.get(stored, 1)


def require(needs: Sequence[Need], room: Room | None) -> None:
    """Raises NotEnoughMemory. Where nothing is known of the memory, all is let try."""
    wanted = sum(each.bytes for each in needs)
    if room is None or wanted <= room.free:
        return
    raise NotEnoughMemory(
        f"The models do not fit into memory together: {'; '.join(map(str, needs))}. That is {_gib(wanted)}, "
        f"{_gib(room.free)} are free: {_gib(wanted - room.free)} are missing.",
        "Lower OPENBOOK_VLLM_KV_CACHE_GIB or OPENBOOK_FAST_VLLM_KV_CACHE_GIB, or choose a smaller model.",
    )


def room(*, cpu: bool) -> Room | None:
    """Now, of the first GPU or else of the machine: on unified memory a GPU tells none of its own."""
    return (None if cpu else _of_gpu()) or _of_machine()


def _of_gpu() -> Room | None:
    query = ["nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        free, total = (int(part) * 2**20 for part in told.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return Room(free, total)


def _of_machine() -> Room | None:
    try:
        lines = (line.split() for line in _MEMINFO.read_text().splitlines())
        kib = {name.rstrip(":"): int(value) for name, value, *_ in lines}
        return Room(kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024)
    except (OSError, ValueError, KeyError):
        return None


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
