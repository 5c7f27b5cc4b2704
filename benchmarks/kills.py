"""Kills an ingest at random moments, runs it again, and compares the collection with an uninterrupted one.

    python benchmarks/kills.py [--kills 100] [--files 200] [--seed N]

Each round begins with an index of the files' first version; half of them then change, and an ingest of the second
version is killed with SIGKILL after a random part of the time that a whole one takes. Before the rerun nothing may
be visible half-done: every document must be one whole version, old or new. After it, every stored point (also those
that no search sees) must be that of an uninterrupted ingest: the same ids and payloads, but for the time, and the
same dense vectors within what another batch changes in the last bits. Prints a line a round; exit code 1 at the
first difference, with the seed that repeats it.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as qe

from rag.store.edge import EdgeStore

OPENBOOK = Path(sys.prefix) / "bin" / "openbook"
COSINE = 0.999


def corpus(folder: Path, version: int, files: int) -> None:
    folder.mkdir(exist_ok=True)
    for n in range(files):
        edition = version if n % 2 else 1
        lines = [f"Line {i} of file {n} in edition {edition} names valve {n * i}." for i in range(20)]
        (folder / f"{n:03}.md").write_text(f"# File {n}\n\n" + "\n".join(lines) + "\n")


def ingest(data: Path, files: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OPENBOOK_DATA_DIR": str(data), "OPENBOOK_LLM_URL": "http://127.0.0.1:9/v1"}
    return subprocess.Popen(
        [OPENBOOK, "ingest", str(files), "--json"], env=environment, stdout=subprocess.DEVNULL
    )


def whole(data: Path, files: Path) -> float:
    began = time.perf_counter()
    if code := ingest(data, files).wait():
        raise SystemExit(f"an ingest that nobody killed ended with exit code {code}")
    return time.perf_counter() - began


def half_done(data: Path) -> list[str]:
    """Documents of which not every character and passage is there."""
    store = EdgeStore(data / "collections", embedder="any", dimension=1)
    try:
        index = store.open("default", any_embedder=True)
        wrong = []
        for document in index.documents():
            passages = index.read(document.id)
            there = (len(passages), len("".join(passage.text for passage in passages)))
            if there != (document.passages, document.characters):
                wrong.append(f"{document.name}: {there}")
        return wrong
    finally:
        store.close()


def points(data: Path) -> dict[str, tuple[dict[str, Any], Any]]:
    """All that is stored: payload but for the time, and dense vector, by id."""
    shard = qe.EdgeShard.load(str(data / "collections" / "default"))
    try:
        records, _ = shard.scroll(qe.ScrollRequest(limit=10**6, with_payload=True, with_vector=True))
        found: dict[str, tuple[dict[str, Any], Any]] = {}
        for record in records:
            payload: Any = dict(record.payload or {})
            payload.pop("ingested_at", None)
            vectors: Any = record.vector or {}
            found[str(record.id)] = (payload, dict(vectors).get("dense"))
        return found
    finally:
        shard.close()


def difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    if found.keys() != expected.keys():
        return f"{len(found.keys() - expected.keys())} points too many, {len(expected.keys() - found.keys())} missing"
    for id_, (payload, dense) in found.items():
        if payload != expected[id_][0]:
            return f"point {id_}: {payload} instead of {expected[id_][0]}"
        if dense is not None and float(np.dot(dense, expected[id_][1])) < COSINE:
            return f"point {id_}: another vector"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{given.kills} kills, {given.files} files, seed {given.seed}")
    with tempfile.TemporaryDirectory() as folder:
        rounds(Path(folder), given.kills, given.files, random.Random(given.seed))
    print("no difference")


def rounds(folder: Path, kills: int, files: int, moments: random.Random) -> None:
    texts, first, expected_data = folder / "files", folder / "first", folder / "expected"
    corpus(texts, 1, files)
    whole(first, texts)
    corpus(texts, 2, files)
    shutil.copytree(first, expected_data)
    seconds = whole(expected_data, texts)
    expected = points(expected_data)
    print(f"uninterrupted: {seconds:.1f} s, {len(expected)} points")
    for n in range(1, kills + 1):
        data = folder / "data"
        shutil.copytree(first, data)
        delay = moments.uniform(0, seconds)
        running = ingest(data, texts)
        time.sleep(delay)
        running.send_signal(signal.SIGKILL)
        ended = running.wait() != -signal.SIGKILL
        if wrong := half_done(data):
            raise SystemExit(f"round {n}, killed after {delay:.2f} s: half-done {wrong[:3]}")
        whole(data, texts)
        if wrong_points := difference(points(data), expected):
            raise SystemExit(f"round {n}, killed after {delay:.2f} s: {wrong_points}")
        print(
            f"round {n}: {'ended before' if ended else 'killed after'} {delay:.2f} s, then as uninterrupted",
            flush=True,
        )
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
