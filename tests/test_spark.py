"""openbook doctor --spark: what is made of what the machine tells, and of a model server with and without reuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import api.spark
from api import machine, reuse
from api.finding import Finding
from api.machine import GIB
from api.reuse import Reuse, Sent
from command import Ran, in_process
from rag.compose import chat_client
from rag.settings import load_settings

# GB10 as its owners publish it: no memory, no power limit, no memory clock.
IDLE = "NVIDIA GB10, 580.173.02, [N/A], 208, 3003, 11.17, 35, 0, 0x0000000000000001\n"
AT_WORK = "NVIDIA GB10, 580.173.02, [N/A], 2405, 3003, 63.40, 68, 96, 0x0000000000000000\n"
STUCK = "NVIDIA GB10, 580.173.02, [N/A], 611, 3003, 14.02, 47, 96, 0x0000000000000000\n"
HOT = "NVIDIA GB10, 580.173.02, [N/A], 1900, 3003, 80.10, 92, 96, 0x0000000000000020\n"
H100 = "NVIDIA H100 80GB HBM3, 550.54.15, 81559, 1980, 1980, 71.29, 33, 0, 0x0000000000000001\n"
MEMINFO = """MemTotal:       127600748 kB
MemFree:        100566368 kB
MemAvailable:   118566368 kB
Buffers:          500000 kB
Cached:         18000000 kB
Shmem:             30000 kB
SwapTotal:      16777212 kB
SwapFree:       16777212 kB
HugePages_Total:       0
"""


def test_a_gpu_that_does_not_tell_its_memory_is_read() -> None:
    (gpu,) = machine.gpus(IDLE)
    assert (gpu.name, gpu.driver, gpu.memory) == ("NVIDIA GB10", "580.173.02", None)
    assert (gpu.clock, gpu.most_clock, gpu.watts, gpu.celsius, gpu.busy) == (208, 3003, 11.17, 35, 0)
    assert gpu.reasons == 1
    (other,) = machine.gpus(H100)
    assert other.memory == 81559 * 2**20


@pytest.mark.parametrize("told", ["", "No devices were found\n", "a, b\n", "NVIDIA-SMI has failed\n"])
def test_what_is_no_list_of_gpus_is_none(told: str) -> None:
    assert machine.gpus(told) == []


def test_fields_that_are_all_missing_do_no_harm() -> None:
    (gpu,) = machine.gpus(
        "NVIDIA GB10, 580.95.05, [N/A], [N/A], [N/A], [Not Supported], , [Unknown Error], [N/A]"
    )
    assert {gpu.memory, gpu.clock, gpu.most_clock, gpu.watts, gpu.celsius, gpu.busy} == {None}
    assert machine.clocks([gpu]).verdict == "skipped"


@pytest.mark.parametrize(
    ("told", "verdict", "said"),
    [
        (IDLE, "ok", "NVIDIA GB10, driver 580.173.02"),
        (IDLE.replace("580.173.02", "570.1"), "warn", "needs 580 or newer"),
        (H100, "warn", "no DGX Spark"),
        ("", "fail", "lists no GPU"),
    ],
)
def test_the_driver(told: str, verdict: str, said: str) -> None:
    found = machine.driver(machine.gpus(told))
    assert (found.verdict, bool(found.mend)) == (verdict, verdict != "ok")
    assert said in found.detail


def memory_of(**changed: int) -> dict[str, int]:
    return machine.meminfo(MEMINFO) | {name: gib * GIB for name, gib in changed.items()}


def test_memory_is_what_processor_and_gpu_share() -> None:
    found = machine.memory(memory_of(), machine.gpus(IDLE))
    assert found == Finding("memory", "ok", "113.1 of 121.7 GiB available; shared with the GPU")
    assert "the GPU has its own, 79.6 GiB" in machine.memory(memory_of(), machine.gpus(H100)).detail
    full = machine.memory(memory_of(MemAvailable=3), machine.gpus(IDLE))
    assert (full.verdict, "KV_CACHE_BYTES" in full.mend) == ("warn", True)
    small = machine.memory(memory_of(MemTotal=64, MemAvailable=60), [])
    assert (small.verdict, "less than a Spark has" in small.detail) == ("warn", True)


def test_files_in_memory_and_swap() -> None:
    assert machine.page_cache(memory_of()).verdict == "ok"
    crowded = machine.page_cache(memory_of(MemFree=2, Cached=70))
    assert (crowded.verdict, "drop_caches" in crowded.mend) == ("warn", True)
    assert machine.swap(memory_of()).verdict == "ok"
    assert machine.swap(memory_of(SwapTotal=0, SwapFree=0)).verdict == "ok"
    assert machine.swap(memory_of(SwapFree=9)).verdict == "warn"


@pytest.mark.parametrize(
    ("told", "verdict", "said"),
    [
        (IDLE, "skipped", "the GPU was not at work: 208 MHz"),
        (IDLE + AT_WORK, "ok", "2,405 of 3,003 MHz at work, 63 W, 68 °C"),
        (IDLE + STUCK, "warn", "a fraction of what it can"),
        (HOT, "warn", "held back by its temperature"),
        ("", "skipped", "not at work"),
    ],
)
def test_clocks_are_looked_at_under_load(told: str, verdict: str, said: str) -> None:
    found = machine.clocks(machine.gpus(told))
    assert (found.verdict, bool(found.mend)) == (verdict, verdict == "warn")
    assert said in found.detail


COLD = Sent(8192, 0, 1.2)


@pytest.mark.parametrize(
    ("again", "begun", "verdict", "said"),
    [
        (Sent(8192, 8176, 0.05), Sent(8192, 6144, 0.4), "ok", "100% cached"),
        (Sent(8192, 6336, 0.3), Sent(8192, 0, 1.2), "warn", "at checkpoints"),
        (Sent(8192, 0, 1.2), Sent(8192, 0, 1.2), "fail", "Nothing is reused"),
        (Sent(8192, None, 0.1), Sent(8192, None, 0.5), "ok", "does not say what it had cached"),
        (Sent(8192, None, 1.1), Sent(8192, None, 1.2), "warn", "does not say what it had cached"),
    ],
)
def test_reuse_is_judged_by_the_servers_own_counts(again: Sent, begun: Sent, verdict: str, said: str) -> None:
    found = reuse.judge(Reuse(COLD, again, begun))
    assert found.verdict == verdict
    assert said in found.detail
    assert found.mend or verdict == "ok"


class ModelServer:
    """Keeps prompts block by block, as vLLM; ``checkpoint`` counts only so many tokens at a time; or nothing."""

    def __init__(self, block: int = 16, *, keeps: bool = True, tells: bool = True) -> None:
        self.block, self.keeps, self.tells = block, keeps, tells
        self.seen: set[tuple[str, tuple[int, ...]]] = set()
        self.salts: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "a-model", "max_model_len": 4096}]})
        if request.url.path != "/v1/completions":
            return httpx.Response(404, json={"error": {"message": "no such path"}})
        asked = json.loads(request.content)
        self.salts.add(asked["cache_salt"])
        details = {"prompt_tokens_details": {"cached_tokens": self._cached(asked)}} if self.tells else {}
        usage = {"prompt_tokens": len(asked["prompt"]), "completion_tokens": 1, **details}
        piece = {"choices": [{"text": "a", "finish_reason": "length"}], "usage": usage}
        return httpx.Response(
            200,
            text=f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n",
            headers={"content-type": "text/event-stream"},
        )

    def _cached(self, asked: dict[str, Any]) -> int:
        salt, ids = asked["cache_salt"], tuple(asked["prompt"])
        ends = range(self.block, len(ids), self.block)
        cached = max((end for end in ends if (salt, ids[:end]) in self.seen), default=0)
        if self.keeps:
            self.seen.update((salt, ids[:end]) for end in ends)
        return cached


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    monkeypatch.setattr("api.doctor.examine", lambda _: iter(()))
    monkeypatch.setattr(api.spark, "DISK_BYTES", api.spark.PIECE)
    monkeypatch.setattr(api.spark, "_gpus", lambda: [])
    return in_process(monkeypatch, capsys)


def serving(monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    monkeypatch.setenv("OPENBOOK_LLM_URL", "http://model/v1")

    def client(settings: Any, managed: None) -> Any:
        return chat_client(settings, managed, transport=httpx.MockTransport(server))

    monkeypatch.setattr(api.spark, "chat_client", client)


@pytest.mark.parametrize(
    ("server", "verdict"),
    [
        (ModelServer(), "ok"),
        (ModelServer(block=1800), "warn"),
        (ModelServer(keeps=False), "fail"),
    ],
)
def test_a_server_is_asked_the_same_twice(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, server: ModelServer, verdict: str
) -> None:
    serving(monkeypatch, server)
    found = {finding["name"]: finding for finding in run("doctor", "--spark", "--json").json}
    assert found["prefix reuse"]["verdict"] == verdict, found
    (salt,) = server.salts
    assert len(salt) == 32
    run("doctor", "--spark")
    assert len(server.salts) == 2  # a new one each time


def test_each_check_says_why_it_was_skipped(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("api.spark.shutil.which", lambda _: None)
    monkeypatch.setattr(api.spark, "MEMINFO", written(tmp_path / "meminfo", MEMINFO))
    monkeypatch.setattr(api.spark, "CONTAINER", written(tmp_path / ".dockerenv", ""))
    ran = run("doctor", "--spark", "--json")
    found = {finding["name"]: finding for finding in ran.json}
    names = ["driver", "memory", "page cache", "swap", "disk speed", "prefix reuse", "clocks"]
    assert (ran.code, list(found)) == (0, names)
    skipped = {name: finding["detail"] for name, finding in found.items() if finding["verdict"] == "skipped"}
    assert set(skipped) == {"driver", "prefix reuse", "clocks"}
    assert skipped["prefix reuse"] == "OPENBOOK_LLM_URL names no model server"
    (tmp_path / ".dockerenv").unlink()
    told = run("doctor", "--spark")
    assert told.code == 1
    assert "fail driver: there is no nvidia-smi\n       Install NVIDIA's driver" in told.out
    assert "skipped clocks: the GPU was not at work" in told.out


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_disk_is_measured_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(api.spark, "DISK_BYTES", 2 * api.spark.PIECE)
    monkeypatch.setattr(api.spark, "SLOW_DISK", 0)
    settings = load_settings(data_dir=tmp_path / "not" / "yet")
    found = api.spark._disk(settings)
    assert found.verdict == "ok"
    assert "GB/s read" in found.detail
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(api.spark, "SLOW_DISK", 1e18)
    assert api.spark._disk(settings).verdict == "warn"
    monkeypatch.setattr(api.spark, "DISK_BYTES", 2**60)
    assert api.spark._disk(settings).verdict == "skipped"


def test_a_model_server_that_is_away_is_a_failure(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    serving(monkeypatch, away)  # type: ignore[arg-type]
    found = {finding["name"]: finding for finding in run("doctor", "--spark", "--json").json}
    assert found["prefix reuse"]["verdict"] == "fail"
    assert "cannot be reached" in found["prefix reuse"]["detail"]


def test_nvidia_smi_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = written(tmp_path / "nvidia-smi", f"#!/bin/sh\necho '{AT_WORK.strip()}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (gpu,) = api.spark._gpus()
    assert gpu.clock == 2405
    assert api.spark._driver().verdict == "ok"
