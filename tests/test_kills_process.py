"""The service killed in the middle of what it does: nothing is lost, nothing half-done is seen."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from threading import Event, Timer
from typing import Any

import httpx
import pytest
import qdrant_edge as qe
from httpx_sse import connect_sse

from house import comparable, corpus, houses, serving, until
from rag import owner
from service import Service
from stub_llm import StubLlm, stub_llm

pytestmark = pytest.mark.process

REPLY = "The pump of station 3 is checked every 3 weeks [1]."


@pytest.fixture(scope="module")
def llm() -> Iterator[StubLlm]:
    with stub_llm(REPLY) as server:
        yield server


@pytest.fixture
def make(llm: StubLlm, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    with houses(tmp_path, llm.url) as make:
        yield make


# --- kill -9 in the middle of an ingest -------------------------------------------------------------------------


def points(data: Path, collection: str = "default") -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """All that is stored, whether it can be seen or not: payload and vectors by id."""
    shard = qe.EdgeShard.load(str(data / "collections" / collection))
    try:
        records, _ = shard.scroll(qe.ScrollRequest(limit=100_000, with_payload=True, with_vector=True))
        found = {}
        for record in records:
            payload = {
                key: value for key, value in dict(record.payload or {}).items() if key != "ingested_at"
            }
            vector: Any = record.vector or {}
            found[str(record.id)] = (json.loads(json.dumps(payload)), dict(vector))
        return found
    finally:
        shard.close()


def killed_ingesting(service: Service, files: Path, events: int, delay_s: float) -> int:
    """Starts the service, lets it ingest up to an event and a moment more, and kills it; the events that came."""
    serving(service)
    record = owner.find(service.data)
    assert record
    seen = 0
    headers = {"Authorization": f"Bearer {record.token}"}
    try:
        with (
            httpx.Client(timeout=120, headers=headers) as client,
            connect_sse(client, "POST", f"{service.url}/v1/ingest", json={"paths": [str(files)]}) as source,
        ):
            for _ in source.iter_sse():
                seen += 1
                if seen == events:
                    time.sleep(delay_s)
                    break
    finally:
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    return seen


@pytest.mark.models
def test_killed_in_the_middle_of_an_ingest_and_run_again_it_is_as_if_nothing_had_happened(
    make: Callable[..., Service], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    files = corpus(tmp_path / "files", "v1")
    whole, cut = make("whole"), make("cut")
    seed = int(os.environ.get("OPENBOOK_TEST_SEED", random.randrange(10**6)))
    record_property("seed", seed)
    moments = random.Random(seed)
    kills = []
    for version in ("v1", "v2", "v2", "v2"):  # half of the second version's files replace what may be there
        corpus(files, version)
        event, delay_s = moments.randint(2, 16), moments.uniform(0, 0.2)
        kills.append((killed_ingesting(cut, files, event, delay_s), round(delay_s, 3)))
    assert (cut.data / "owner.json").exists()  # nobody was there to remove it

    report = cut.run("ingest", str(files), "--json")
    assert json.loads(report.stdout)["files"], report.stderr
    again = cut.json("ingest", str(files))
    assert (again["parsed"], again["embedded"]) == (0, 0)
    whole.run("ingest", str(files))
    a, b = points(cut.data), points(whole.data)
    hint = f"seed {seed}, killed after {kills} events"
    assert a.keys() == b.keys(), hint
    assert {key: payload for key, (payload, _) in a.items()} == {
        key: payload for key, (payload, _) in b.items()
    }, hint
    for key, (_, vectors) in a.items():
        assert vectors.keys() == b[key][1].keys()
        for name in vectors.keys() & {"dense"}:
            # The same text in another batch may differ in the last bits.
            assert vectors[name] == pytest.approx(b[key][1][name], abs=1e-5), hint
    assert comparable(cut.json("documents")) == comparable(whole.json("documents"))


@pytest.mark.models
def test_a_job_is_done_though_the_service_is_killed_in_the_middle(
    make: Callable[..., Service], tmp_path: Path
) -> None:
    files = corpus(tmp_path / "files", "v1", 120)
    house = serving(make())
    job = house.json("ingest", str(files), "--detach", "-c", "team")["job"]["id"]
    until(lambda: house.job(job)["files_done"] >= 2)
    house.stop(signal.SIGKILL)
    assert house.json("jobs", job)["job"]["state"] == "queued"
    serving(house)
    done = house.json("jobs", job, "--follow")
    assert (done["job"]["state"], done["job"]["files_done"]) == ("done", 120)
    assert done["job"]["counts"].get("unchanged", 0) >= 2
    assert len(house.json("documents", "-c", "team")["documents"]) == 120
    assert house.stop() == 0


# --- uploads ----------------------------------------------------------------------------------------------------


def key_of(service: Service) -> dict[str, str]:
    record = owner.find(service.data)
    assert record
    return {"Authorization": f"Bearer {record.token}"}


def uploading(service: Service, headers: dict[str, str], **arguments: Any) -> httpx.Response:
    return httpx.post(f"{service.url}/v1/uploads?collection=team", headers=headers, timeout=60, **arguments)


@contextmanager
def killed_after(service: Service, seconds: float) -> Iterator[None]:
    """Connections may end within, but none before it is killed."""
    struck = Event()

    def strike() -> None:
        struck.set()
        service.stop(signal.SIGKILL)

    killer = Timer(seconds, strike)
    killer.start()
    try:
        yield
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        if not struck.is_set():
            raise
    finally:
        killer.join()


def batch(number: int) -> dict[str, bytes]:
    texts = {f"{number}/{name}.md": f"What {name} of {number} says.\n".encode() for name in "abc"}
    return texts | {f"{number}/padding.bin": b"\0" * 4_000_000}  # so that it takes a while to send


def as_parts(files: dict[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", file) for file in files.items()]


@pytest.mark.models
def test_killed_at_any_moment_every_upload_is_whole_and_ingested_or_not_there(
    make: Callable[..., Service], record_property: Callable[[str, object], None]
) -> None:
    house = make()
    seed = int(os.environ.get("OPENBOOK_TEST_SEED", random.randrange(10**6)))
    record_property("seed", seed)
    moments = random.Random(seed)
    root = house.data / "files" / "team" / "uploads"
    accepted: list[int] = []
    numbers = count()

    def accept(number: int, headers: dict[str, str]) -> None:
        reply = uploading(house, headers, files=as_parts(batch(number)))
        assert reply.status_code == 202, (seed, reply.text)
        accepted.append(number)

    for _ in range(3):
        serving(house)
        assert not (house.data / "files" / ".incoming").exists()
        headers, began = key_of(house), time.monotonic()
        accept(next(numbers), headers)  # and so long it may take until it is killed
        with killed_after(house, moments.uniform(0, time.monotonic() - began)):
            for number in islice(numbers, 4):
                accept(number, headers)
    serving(house)
    for given in house.json("jobs")["jobs"]:
        if given["job"]["state"] == "failed":  # killed at one file three times, it is not tried unasked again
            house.json("jobs", given["job"]["id"], "--retry")
    until(lambda: all(job["job"]["state"] == "done" for job in house.json("jobs")["jobs"]))
    documents = house.json("documents", "-c", "team")["documents"]
    for number in range(next(numbers)):
        there = {f"{number}/{path.name}": path.read_bytes() for path in (root / str(number)).glob("*")}
        names = [d["source"] for d in documents if f"/uploads/{number}/" in d["source"]]
        assert (there, len(names)) in ((batch(number), 3), ({}, 0)), (seed, number)
        assert there or number not in accepted, (seed, number)
    assert house.stop() == 0


def test_an_upload_that_is_cut_by_a_kill_is_cleared(make: Callable[..., Service]) -> None:
    house = serving(make())
    incoming = house.data / "files" / ".incoming"
    record = owner.find(house.data)
    assert record
    half = "\r\n".join(
        (
            "POST /v1/uploads HTTP/1.1", f"Host: 127.0.0.1:{house.port}", f"Authorization: Bearer {record.token}",
            "Content-Type: multipart/form-data; boundary=x", "Content-Length: 1000000", "",
            "--x", 'Content-Disposition: form-data; name="files"; filename="half.md"', "", "half",
        )
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", house.port)) as connection:
        connection.sendall(half.encode())
        until(lambda: list(incoming.rglob("half.md")))
        house.stop(signal.SIGKILL)
    assert list(incoming.rglob("half.md"))
    serving(house)
    assert not incoming.exists()
    assert house.json("jobs")["jobs"] == []
    assert house.stop() == 0


def test_a_client_hears_that_it_sends_too_much(make: Callable[..., Service]) -> None:
    house = make()
    house.environment["OPENBOOK_MAX_UPLOAD_BYTES"] = "1000000"
    serving(house)

    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
        for _ in range(300):
            yield b"x" * 100_000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for arguments in (
        {"files": as_parts({"a.md": b"x" * 30_000_000}), "headers": key_of(house)},
        {"content": chunks(), "headers": key_of(house) | headers},
    ):
        reply = uploading(house, **arguments)
        assert (reply.status_code, reply.json()["code"]) == (413, "UploadTooLarge")
        assert "OPENBOOK_MAX_UPLOAD_BYTES" in reply.json()["hint"]
    assert not list((house.data / "files").rglob("*.md"))
    assert house.stop() == 0
    assert "Traceback" not in house.log.read_text()
