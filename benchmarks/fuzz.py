"""Feeds a running service with damaged and hostile files, and looks whether it minds.

    python benchmarks/fuzz.py SEEDS [--files 2000] [--seed N] [--keep FOLDER]

SEEDS is a folder of good files (samples/ will do; more kinds are better). Each made file is one of them with bits
flipped, bytes cut out, doubled or zeroed, cut short, or under another's extension; among them are archives with
names that lead outside, zip bombs, archives in archives, deeply nested XML, JSON and HTML, and one line of 100 MB.
A service of its own ingests them as a job. Printed: results by kind and status, the slowest file, memory; exit code
1 where the service ended, a file has no result, or something was written outside the service's data folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from ingest.jobs import JobView
from rag.remote import find_service

OPENBOOK = Path(sys.prefix) / "bin" / "openbook"
MAX_SEED_BYTES = 300_000  # bigger files take long and show nothing more
OUTSIDE = "openbook-fuzz-was-outside.txt"  # what an archive tries to write


def flipped(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 64)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut_short(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data))])


def cut_out(data: bytearray, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.randint(1, 5000)
    return bytes(data[:at] + data[at + size :])


def doubled(data: bytearray, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.randint(1, 5000)
    return bytes(data[:at] + data[at : at + size] * chance.randint(2, 20) + data[at:])


def zeroed(data: bytearray, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.randint(1, 2000)
    data[at : at + size] = bytes(len(data[at : at + size]))
    return bytes(data)


DAMAGES: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    flipped,
    cut_short,
    cut_out,
    doubled,
    zeroed,
)


def damaged(seeds: list[Path], chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Endless (file name, content)."""
    number = 0
    while True:
        seed, damage = chance.choice(seeds), chance.choice(DAMAGES)
        suffix = chance.choice(seeds).suffix if chance.random() < 0.1 else seed.suffix
        number += 1
        yield f"{number:05}-{damage.__name__}{suffix}", damage(bytearray(seed.read_bytes()), chance)


def hostile() -> Iterator[tuple[str, bytes]]:
    """Files that were made to harm."""
    escapes = [f"../{OUTSIDE}", f"../../../../../../tmp/{OUTSIDE}", f"/tmp/{OUTSIDE}", f"..\\..\\{OUTSIDE}"]
    yield "traversal.zip", zipped(dict.fromkeys(escapes, b"outside"))
    yield "traversal.tar", tarred(dict.fromkeys(escapes, b"outside"))
    yield "links.tar", linked()
    yield "bomb.zip", zipped({f"{n}.txt": bytes(200 * 2**20) for n in range(8)})
    yield (
        "bomb.docx",
        zipped({"word/document.xml": b"<a>" + b" " * (600 * 2**20), "[Content_Types].xml": b"<T/>"}),
    )
    nested = b"the innermost"
    for level in range(40):
        nested = zipped({f"{level}.zip": nested})
    yield "nested.zip", nested
    yield "many.zip", zipped({f"{n}.txt": b"x" for n in range(1000)})
    tenfold = zipped({"zeros.txt": bytes(15 * 2**20)})
    for _ in range(2):
        tenfold = zipped({f"{n}.zip": tenfold for n in range(10)})
    yield "tenfold.zip", tenfold
    yield "deep.xml", b"<a>" * 200_000 + b"</a>" * 200_000
    yield "deep.html", b"<div>" * 200_000 + b"deep"
    yield "deep.json", b"[" * 500_000 + b"]" * 500_000
    yield "deep.md", b"> " * 100_000 + b"deep\n" + b"- " * 50_000
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    yield "entities.xml", f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><x>&a12;</x>'.encode()
    yield "external.xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    yield "line.txt", b"x" * 100 * 2**20
    yield "words.txt", b"word " * (20 * 2**20)
    yield "quotes.csv", b'"' * 1_000_001
    yield "mime.eml", mime(500)


def zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def linked() -> bytes:
    """A link that leads out of the archive, and a file to be written through it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
        archive.addfile(link)
        entry = tarfile.TarInfo(f"out/{OUTSIDE}")
        entry.size = 7
        archive.addfile(entry, io.BytesIO(b"outside"))
    return buffer.getvalue()


def mime(depth: int) -> bytes:
    head = b"From: a@example.org\nSubject: deep\nMIME-Version: 1.0\n"
    parts = [f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n'.encode() for n in range(depth)]
    return head + b"".join(parts) + b"Content-Type: text/plain\n\nthe innermost\n"


class Service:
    """``openbook serve`` with a data folder of its own; nothing answers questions, which are not asked."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.data = folder / "data"
        self._environment = os.environ | {
            "OPENBOOK_DATA_DIR": str(self.data),
            "OPENBOOK_PORT": str(port),
            "OPENBOOK_LLM_URL": "http://127.0.0.1:9/v1",
        }
        self._log = (folder / "serve.log").open("wb")
        self.process = subprocess.Popen(
            [OPENBOOK, "serve"], env=self._environment, stdout=self._log, stderr=self._log, cwd=folder
        )

    def json(self, *arguments: str) -> Any:
        done = subprocess.run(
            [OPENBOOK, *arguments, "--json"],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.stdout:
            raise SystemExit(f"openbook {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout)

    def job(self, id_: str) -> JobView:
        """Without its results: it is asked for every second."""
        service = find_service(self.data)
        if service is None:
            raise SystemExit("the service has gone")
        view: JobView = service.call("GET", f"/v1/jobs/{id_}", JobView, params={"after": 10**9})
        return view

    def memory_mib(self) -> int:
        """Of the service and all processes below it; one that ends meanwhile is not counted."""
        service = psutil.Process(self.process.pid)
        rss = 0
        for each in (service, *service.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                rss += int(each.memory_info().rss)
        return rss >> 20

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", type=Path)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keep", type=Path, help="Where the made files go; by default they are removed.")
    given = parser.parse_args()
    seeds = [path for path in sorted(given.seeds.rglob("*")) if path.is_file() and path.stat().st_size > 0]
    seeds = [path for path in seeds if path.stat().st_size <= MAX_SEED_BYTES]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"{given.files} files from {len(seeds)} good ones and {len(list(hostile()))} hostile ones; seed {given.seed}"
    )
    with tempfile.TemporaryDirectory() as folder:
        files = given.keep or Path(folder) / "files"
        files.mkdir(parents=True, exist_ok=True)
        made = dict(hostile())
        for (name, content), _ in zip(
            damaged(seeds, random.Random(given.seed)), range(given.files - len(made)), strict=False
        ):
            made[name] = content
        for name, content in made.items():
            (files / name).write_bytes(content)
        sys.exit(feed(Path(folder), files, list(made)))


def feed(folder: Path, files: Path, names: list[str]) -> int:
    service = Service(folder)
    while not (service.data / "owner.json").exists() or not service.json("status")["url"]:
        time.sleep(0.5)
    id_ = service.json("ingest", str(files), "--detach")["job"]["id"]
    view, memory, slowest = watched(service, id_)
    alive = service.process.poll() is None
    results = view["files"]
    tell(results, slowest)
    missing = [name for name in names if not any(result["name"].split("/")[1] == name for result in results)]
    written = [*files.parent.rglob(OUTSIDE), Path(tempfile.gettempdir()) / OUTSIDE]
    outside = [str(path) for path in written if path.exists()]
    found = service.json("search", "station", "--limit", "1")["hits"] if alive else []
    code = service.stop() if alive else service.process.returncode
    print(
        f"job {view['job']['state']}, service {'alive' if alive else 'DEAD'}, ended with {code}, finds {len(found)}"
    )
    print(f"peak memory of the service and its children: {memory:,} MiB")
    print(f"files without a result: {missing[:5] or 'none'}; written outside: {outside or 'nothing'}")
    return int(not alive or bool(missing) or bool(outside) or view["job"]["state"] != "done" or code != 0)


def watched(service: Service, id_: str) -> tuple[Any, int, tuple[float, str]]:
    """The job when it has ended, the peak memory in MiB, and the longest time at one step."""
    memory, slowest, now, since = 0, (0.0, ""), "", time.monotonic()
    while True:
        view = service.job(id_)
        memory = max(memory, service.memory_mib())
        if view.job.now != now:
            slowest = max(slowest, (time.monotonic() - since, now))
            now, since = view.job.now, time.monotonic()
        if view.job.has_ended or service.process.poll() is not None:
            return service.json("jobs", id_), memory, slowest
        time.sleep(1)


def tell(results: list[dict[str, Any]], slowest: tuple[float, str]) -> None:
    by_kind: Counter[tuple[str, str]] = Counter()
    for result in results:
        kind = Path(result["name"].split("/")[1]).stem.partition("-")[2] or "hostile"
        by_kind[kind, result["status"]] += 1
    for (kind, status), count in sorted(by_kind.items()):
        print(f"  {kind:10} {status:10} {count:6,}")
    errors = Counter(result["error"] for result in results if result["error"])
    print(f"  errors: {', '.join(f'{count} {error}' for error, count in errors.most_common())}")
    print(f"  longest at one step: {slowest[0]:.0f} s ({slowest[1]})")


if __name__ == "__main__":
    main()
