"""What a DGX Spark tells of itself, and what that means: nvidia-smi's lines and /proc/meminfo. No input or output.

On GB10 the processor and the GPU share one memory, of which nvidia-smi knows nothing: its fields are ``[N/A]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from api.finding import Finding

QUERY = (
    "name",
    "driver_version",
    "memory.total",
    "clocks.sm",
    "clocks.max.sm",
    "power.draw",
    "temperature.gpu",
    "utilization.gpu",
    "clocks_event_reasons.active",
)
SPARK = "GB10"
DRIVER = 580  # the first for GB10
GIB = 2**30
SPARK_BYTES = 110 * GIB  # of 128 GB about 119 GiB are left to the system
ROOM = 8 * GIB
BUSY = 50  # percent
# https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html
SLOWED = {
    0x4: "its power limit",
    0x8: "a hardware slowdown",
    0x20: "its temperature",
    0x40: "its temperature (hardware)",
    0x80: "the power supply",
}
FREE_CACHE = "Before the model server starts: sudo sh -c 'sync; echo 3 > /proc/sys/vm/drop_caches'"


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory in bytes, clocks in MHz, watts, degrees Celsius, percent; None where the GPU does not tell. ``reasons``
    why its clock is not the highest, as bits."""

    name: str
    driver: str
    memory: int | None
    clock: float | None
    most_clock: float | None
    watts: float | None
    celsius: float | None
    busy: float | None
    reasons: int


def gpus(told: str) -> list[Gpu]:
    """Of nvidia-smi --format=csv,noheader,nounits, asked for QUERY. Lines of another form are left out."""
    rows = [[field.strip() for field in line.split(",")] for line in told.splitlines()]
    return [_gpu(*row) for row in rows if len(row) == len(QUERY)]


def _gpu(
    name: str,
    driver: str,
    mib: str,
    clock: str,
    most_clock: str,
    watts: str,
    celsius: str,
    busy: str,
    reasons: str,
) -> Gpu:
    memory = _number(mib)
    return Gpu(
        name,
        driver,
        None if memory is None else int(memory * 2**20),
        _number(clock),
        _number(most_clock),
        _number(watts),
        _number(celsius),
        _number(busy),
        int(reasons, 16) if reasons.startswith("0x") else 0,
    )


def _number(told: str) -> float | None:
    """None of ``[N/A]``, ``[Not Supported]`` and the like."""
    return float(told) if re.fullmatch(r"\d+(\.\d+)?", told) else None


def meminfo(told: str) -> dict[str, int]:
    """In bytes, by the names of /proc/meminfo."""
    return {
        match[1]: int(match[2]) * 1024 for match in re.finditer(r"^(\w+):\s+(\d+) kB$", told, re.MULTILINE)
    }


def driver(found: list[Gpu]) -> Finding:
    if not found:
        return Finding(
            "driver", "fail", "nvidia-smi lists no GPU", "Look at: nvidia-smi; sudo dmesg | grep -i nvidia"
        )
    gpu = found[0]
    told = f"{gpu.name}, driver {gpu.driver}"
    if SPARK not in gpu.name:
        return Finding("driver", "warn", f"{told}: no DGX Spark", "openbook plan --memory-gb says what fits.")
    if int(gpu.driver.partition(".")[0]) < DRIVER:
        return Finding("driver", "warn", f"{told}: GB10 needs {DRIVER} or newer", "Update DGX OS.")
    return Finding("driver", "ok", told)


def memory(told: Mapping[str, int], found: list[Gpu]) -> Finding:
    """That the processor and, where it says nothing of its own, the GPU have."""
    total, available = told["MemTotal"], told["MemAvailable"]
    own = found[0].memory if found else None
    shared = "the GPU has its own" if own else "shared with the GPU" if found else "no GPU was asked"
    detail = f"{available / GIB:.1f} of {total / GIB:.1f} GiB available; {shared}"
    if own:
        return Finding("memory", "ok", f"{detail}, {own / GIB:.1f} GiB")
    if available < ROOM:
        return Finding(
            "memory",
            "warn",
            f"{detail}: the machine may stop answering",
            "Give the KV cache less: openbook plan --env .env, or KV_CACHE_BYTES.",
        )
    if total < SPARK_BYTES:
        return Finding(
            "memory", "warn", f"{detail}: less than a Spark has", "openbook plan --memory-gb says what fits."
        )
    return Finding("memory", "ok", detail)


def page_cache(told: Mapping[str, int]) -> Finding:
    """Files that were read stay in memory, and the GPU's driver does not wait until they have left it."""
    cached = told["Cached"] + told.get("Buffers", 0) - told.get("Shmem", 0)
    detail = f"{cached / GIB:.1f} GiB of files in memory, {told['MemFree'] / GIB:.1f} GiB free"
    if told["MemFree"] < ROOM and cached > told["MemTotal"] / 4:
        return Finding(
            "page cache", "warn", f"{detail}: a model server that starts may find too little", FREE_CACHE
        )
    return Finding("page cache", "ok", detail)


def swap(told: Mapping[str, int]) -> Finding:
    used = told["SwapTotal"] - told["SwapFree"]
    detail = f"{used / GIB:.1f} of {told['SwapTotal'] / GIB:.1f} GiB in use"
    if used > GIB:
        return Finding(
            "swap",
            "warn",
            f"{detail}: memory was too full",
            "Give the KV cache less: see openbook plan.",
        )
    return Finding("swap", "ok", detail)


def clocks(seen: list[Gpu]) -> Finding:
    """Of one GPU, looked at several times while the model server read a prompt. A Spark can get stuck at a fraction of
    its clock until it has been without power."""
    working = [gpu for gpu in seen if gpu.clock and (gpu.busy or 0) >= BUSY]
    if not working:
        return Finding("clocks", "skipped", f"the GPU was not at work{_idle(seen)}")
    best = max(working, key=lambda gpu: gpu.clock or 0)
    watts = f", {best.watts:.0f} W" if best.watts is not None else ""
    degrees = f", {best.celsius:.0f} °C" if best.celsius is not None else ""
    most = f" of {best.most_clock:,.0f}" if best.most_clock else ""
    detail = f"{best.clock:,.0f}{most} MHz at work{watts}{degrees}"
    if slowed := [why for bit, why in SLOWED.items() if best.reasons & bit]:
        return Finding(
            "clocks",
            "warn",
            f"{detail}, held back by {', '.join(slowed)}",
            "Look at its vents and its power supply.",
        )
    if best.most_clock and best.clock and best.clock < best.most_clock / 2:
        return Finding(
            "clocks",
            "warn",
            f"{detail}: a fraction of what it can",
            "Shut it down, unplug it from power for a minute, and start it again.",
        )
    return Finding("clocks", "ok", detail)


def _idle(seen: list[Gpu]) -> str:
    return f": {seen[-1].clock:,.0f} MHz" if seen and seen[-1].clock else ""
