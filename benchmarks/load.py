"""Many streaming questions at once, beside large uploads: what fails, what openbook adds, whether memory grows.

    python benchmarks/load.py [--clients 200] [--seconds 120] [--upload-mb 64] [--nice 10] [--json FILE]

Starts the simulator (docs/simulator.md), so fast that a prompt takes milliseconds, and a service before it; all of it
on 127.0.0.1. Each client asks again as soon as it has its answer. Overhead is what a client waits beyond the wait for
its turn, the first token and the pieces after it, as the receipt has them: HTTP, retrieval, packing, citing, and the
wait for a processor. Blocks of the event loop are the service's own measurement (docs/observe.md), RSS is that of the
service's process. Exit code 1 where a question or an upload failed, or the service did not start or did not end with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from rag import owner
from rag.settings import beside_environment

OPENBOOK = Path(sys.prefix) / "bin" / "openbook"
MODEL = beside_environment(".models") / "SmolLM2-135M-Instruct"
SETTLED_S = 30.0  # after which memory should not grow
WAIT_S = 300.0  # for a reply, before it counts as none
START_S, STOP_S = 120.0, 90.0
UPLOAD_EVERY_S = 2.0
RAMP_S = 2.0  # in which the clients begin, one after the other


@dataclass(slots=True)
class Seen:
    """By clients, in seconds; ``rss`` (when, MiB) and ``lag_s`` are the service's."""

    ttft: list[float] = field(default_factory=list)
    ttft_overhead: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    overhead: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    rss: list[tuple[float, float]] = field(default_factory=list)
    lag_s: float = 0.0
    looks: list[tuple[float, float]] = field(
        default_factory=list
    )  # at the loop: all so far, those within 100 ms
    failed: Counter[str] = field(default_factory=Counter)


def corpus(folder: Path, files: int) -> list[str]:
    """Files about stations; questions on them."""
    folder.mkdir()
    things = ("pump", "valve", "gauge", "mast", "battery", "seal", "filter", "boat", "sensor", "crane")
    questions = []
    for n in range(files):
        lines = [f"# Station {n}\n"]
        for m, thing in enumerate(things):
            lines += [
                f"## The {thing}",
                f"The {thing} of station {n} is checked every {n + m + 2} weeks.",
                *(
                    f"Note {k}: on day {n * k % 28 + 1} the {thing} ran for {n * m + k} hours."
                    for k in range(12)
                ),
                "",
            ]
            questions.append(f"How often is the {thing} of station {n} checked?")
        (folder / f"station-{n:03}.md").write_text("\n".join(lines))
    return questions  # fmt: skip


@contextmanager
def child(*arguments: str, ready: str, log: Path, **environment: str) -> Iterator[int]:
    """A command of openbook's, which is ended by SIGTERM. Raises SystemExit where it is not ready in time, or where
    ``serve`` does not end with 0."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [OPENBOOK, *arguments], env=os.environ | environment, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + START_S
        while not _is_ready(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                what = "is not ready" if process.poll() is None else "ended"
                raise SystemExit(f"openbook {arguments[0]} {what}: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code and arguments[0] == "serve":
        raise SystemExit(f"openbook serve ended with exit code {code}: {log.read_text()[-2000:]}")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


async def ask(url: str, question: str, seen: Seen) -> None:
    """Without an HTTP library, which would take more of the machine than the service does."""
    body = json.dumps({"question": question, "collection": "load", "stream": True}).encode()
    at = urlsplit(url)
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=2**22)
    head = (
        f"POST /v1/answer HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    try:
        status = (await reader.readline()).split()[1].decode()
        name, first, answer = "", None, None
        while line := await reader.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
                if name == "piece" and first is None:
                    first = time.perf_counter() - began
            elif line.startswith(b"data: ") and name in ("answer", "error"):
                answer = json.loads(line[6:])
        whole = time.perf_counter() - began
    finally:
        writer.close()
    if status != "200" or name != "answer" or answer is None or first is None:
        seen.failed[f"{status} {name} {(answer or {}).get('code', '')}"] += 1
        return
    took = answer["receipt"]["seconds"]
    before = took.get("wait", 0.0) + took["first_token"]
    seen.ttft.append(first)
    seen.ttft_overhead.append(first - before)
    seen.whole.append(whole)
    seen.overhead.append(whole - before - took["generate"])


async def client(
    url: str, questions: list[str], begin_s: float, until: float, seen: Seen, number: int
) -> None:
    chance = random.Random(number)
    await asyncio.sleep(begin_s)
    while time.monotonic() < until:
        try:
            async with asyncio.timeout(WAIT_S):
                await ask(url, chance.choice(questions), seen)
        except (OSError, TimeoutError, ValueError, IndexError) as error:
            seen.failed[repr(error)] += 1


async def uploader(url: str, token: str, megabytes: int, until: float, seen: Seen) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    content = os.urandom(2**20) * megabytes
    async with httpx.AsyncClient(headers=headers, timeout=WAIT_S, trust_env=False) as http:
        number = 0
        while time.monotonic() < until:
            number, began = number + 1, time.perf_counter()
            files = [
                ("files", (f"{number}.bin", content)),
                ("files", (f"{number}.md", f"Upload {number}.\n".encode())),
            ]
            try:
                reply = await http.post(f"{url}/v1/uploads?collection=uploads", files=files)
                if reply.status_code == 202:
                    seen.uploads.append(time.perf_counter() - began)
                else:
                    seen.failed[f"upload: {reply.status_code} {reply.text[:200]}"] += 1
            except httpx.HTTPError as error:
                seen.failed[f"upload: {error!r}"] += 1
            await asyncio.sleep(UPLOAD_EVERY_S)


async def watch(url: str, pid: int, began: float, until: float, seen: Seen) -> None:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        while time.monotonic() < until:
            status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 no disk is read
            kib = int(re.findall(r"VmRSS:\s+(\d+)", status)[0])
            seen.rss.append((time.monotonic() - began, kib / 1024))
            text = (await http.get(f"{url}/metrics")).text
            seen.looks.append(
                (_sample(text, "lag_seconds_count"), _sample(text, r'lag_seconds_bucket\{le="0.1"\}'))
            )
            if time.monotonic() - began > 2 * SETTLED_S:  # what its start took is not told any more
                seen.lag_s = max(seen.lag_s, _sample(text, "lag_longest_seconds"))
            await asyncio.sleep(1)


def _sample(text: str, name: str) -> float:
    return float(re.findall(rf"^openbook_event_loop_{name} (\S+)", text, re.M)[0])


async def load(url: str, pid: int, token: str, questions: list[str], given: argparse.Namespace) -> Seen:
    seen, began = Seen(), time.monotonic()
    until = began + given.seconds
    async with asyncio.TaskGroup() as group:
        for number in range(given.clients):
            begin_s = RAMP_S * number / given.clients
            group.create_task(client(url, questions, begin_s, until, seen, number))
        if given.upload_mb:
            group.create_task(uploader(url, token, given.upload_mb, until, seen))
        group.create_task(watch(url, pid, began, until, seen))
    return seen


def told(seen: Seen, given: argparse.Namespace) -> dict[str, Any]:
    at_settled = [mib for at, mib in seen.rss if at >= min(SETTLED_S, given.seconds / 4)]
    quantiles = {
        name: {f"p{p}": round(float(np.quantile(values, p / 100)), 3) for p in (50, 95, 99)}
        for name in ("ttft", "ttft_overhead", "whole", "overhead")
        if (values := getattr(seen, name))
    }
    return {
        "clients": given.clients,
        "seconds": given.seconds,
        "questions": len(seen.whole),
        "uploads": len(seen.uploads),
        "upload_s": round(statistics.median(seen.uploads), 1) if seen.uploads else None,
        "failed": dict(seen.failed),
        **quantiles,
        "rss_mib": [round(mib) for _, mib in seen.rss[:: max(1, len(seen.rss) // 8)]],
        "rss_mib_settled": round(at_settled[0]) if at_settled else None,
        "rss_mib_end": round(statistics.median(at_settled[-5:])) if at_settled else None,
        "blocks_over_100_ms": seen.looks[-1][0] - seen.looks[0][0] - (seen.looks[-1][1] - seen.looks[0][1]),
        "longest_block_s": round(seen.lag_s, 3),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measured(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    questions = corpus(folder / "files", given.files)
    model, service = free_port(), free_port()
    url = f"http://127.0.0.1:{service}"
    settings = {
        "OPENBOOK_DATA_DIR": str(folder / "data"),
        "OPENBOOK_PORT": str(service),
        "OPENBOOK_LLM_URL": f"http://127.0.0.1:{model}/v1",
        "OPENBOOK_TOKENIZER": str(MODEL / "tokenizer.json"),
        "OPENBOOK_CONTEXT_TOKENS": str(given.context_tokens),
        "OPENBOOK_QUEUE_LIMIT": "1000",
        "OPENBOOK_PREFILLS_AT_ONCE": "4",
        "OPENBOOK_ANSWERS_AT_ONCE": "64",
    }
    simulator = ("simulate", "--port", str(model), "--speed", str(given.speed))
    with child(*simulator, ready=f"http://127.0.0.1:{model}/health", log=folder / "simulate.log") as others:
        ingest = [str(OPENBOOK), "ingest", str(folder / "files"), "-c", "load"]
        subprocess.run(ingest, env=os.environ | settings, check=True, capture_output=True)
        with child("serve", ready=f"{url}/readyz", log=folder / "serve.log", **settings) as pid:
            record = owner.find(folder / "data")
            assert record
            # The model server's GPU and the clients' machines are not the service's processors, which they share here.
            for other in (others, os.getpid()):
                os.setpriority(os.PRIO_PROCESS, other, given.nice)
            seen = asyncio.run(load(url, pid, record.token, questions, given))
        if "Traceback" in (log := (folder / "serve.log").read_text()):
            seen.failed[log[log.index("Traceback") :][:3000]] += 1
    return told(seen, given)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--upload-mb", type=int, default=64)
    parser.add_argument("--files", type=int, default=30, help="of the collection, ten passages each or more")
    parser.add_argument("--context-tokens", type=int, default=4000)
    parser.add_argument("--speed", type=float, default=200.0, help="of the simulated model server")
    parser.add_argument("--nice", type=int, default=10, help="priority of the clients and the simulator")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    given = parser.parse_args()
    print(f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}")
    print(
        ", ".join(
            f"{name} {version(name)}" for name in ("openbook", "uvicorn", "starlette", "qdrant-edge-py")
        )
    )
    print(
        f"contexts of {given.context_tokens} tokens, simulator at {given.speed:g}x, "
        f"it and the clients at nice {given.nice}"
    )
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder), given)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if given.json:
        given.json.write_text(json.dumps(figures))
    sys.exit(bool(figures["failed"]))


if __name__ == "__main__":
    main()
