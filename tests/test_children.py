"""Model servers that openbook runs beside each other: in order, and only where they fit into memory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from rag.children import Children
from rag.compose import managed_servers
from rag.errors import ModelNotInstalled, ModelUnavailable, NotEnoughMemory
from rag.models.vllm_command import child_environment, serving_flags
from rag.models.vllm_process import VllmStatus
from rag.settings import load_settings
from rag.sizing import room
from rag.sizing.plan import GIB
from rag.sizing.room import CPU_RUNTIME, Need, Room


class Child:
    """Writes down what happens to it; ready when it is told, or gives up."""

    def __init__(self, name: str, happened: list[str], *, fails: bool = False) -> None:
        self.name, self.happened, self.fails = name, happened, fails
        self.ready = asyncio.Event()

    @property
    def status(self) -> VllmStatus:
        return VllmStatus("ready", "", 0.0, 1, 0, "http://127.0.0.1:1/v1")

    async def start(self) -> None:
        self.happened.append(f"start {self.name}")

    async def wait_ready(self) -> None:
        await self.ready.wait()
        if self.fails:
            raise ModelUnavailable("It gave up.")

    async def stop(self) -> None:
        self.happened.append(f"stop {self.name}")


async def passed() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("fails", [False, True])
async def test_one_starts_after_the_other_and_all_end_the_other_way_round(fails: bool) -> None:
    happened: list[str] = []
    first, second = Child("a", happened, fails=fails), Child("b", happened)
    children = Children({"answer": first, "fast": second})
    await children.start()
    await passed()
    assert happened == ["start a"]
    first.ready.set()
    await passed()
    assert happened == ["start a", "start b"]
    await children.stop()
    assert happened == ["start a", "start b", "stop b", "stop a"]


async def test_one_that_is_still_waited_for_is_not_waited_for_at_the_end() -> None:
    happened: list[str] = []
    children = Children({"answer": Child("a", happened), "fast": Child("b", happened)})
    await children.start()
    await passed()
    await children.stop()
    assert happened == ["start a", "stop b", "stop a"]


def checkpoint(folder: Path, **tensors: tuple[str, list[int]]) -> Path:
    folder.mkdir(parents=True)
    header = {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in tensors.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return folder


def test_weights_take_what_they_are_loaded_as(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", a=("BF16", [1000, 100]), b=("F8_E4M3", [1000]), c=("F32", [10]))
    assert room.weight_bytes(folder, "auto") == 200_000 + 1000 + 40
    assert room.weight_bytes(folder, "float32") == 400_000 + 1000 + 40
    with pytest.raises(ModelNotInstalled, match="has no weights"):
        room.weight_bytes(tmp_path, "auto")


def test_what_does_not_fit_is_told_with_how_much() -> None:
    needs = [Need("answer", 2 * GIB, 4 * GIB, GIB), Need("fast", GIB, GIB, GIB)]
    room.require(needs, Room(10 * GIB, 16 * GIB))
    room.require(needs, None)
    with pytest.raises(NotEnoughMemory) as refused:
        room.require(needs, Room(9 * GIB, 16 * GIB))
    assert refused.value.message == (
        "The models do not fit into memory together: answer 7.0 GiB (weights 2.0 GiB, KV cache 4.0 GiB, server "
        "1.0 GiB); fast 3.0 GiB (weights 1.0 GiB, KV cache 1.0 GiB, server 1.0 GiB). That is 10.0 GiB, 9.0 GiB are "
        "free: 1.0 GiB are missing."
    )
    assert "OPENBOOK_FAST_VLLM_KV_CACHE_GIB" in refused.value.hint


def test_what_settings_want_is_looked_at_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = checkpoint(tmp_path / "big", a=("BF16", [GIB]))
    small = checkpoint(tmp_path / "small", a=("BF16", [GIB // 4]))
    settings = load_settings(vllm_model=big, fast_vllm_model=small, vllm_kv_cache_gib=3)
    asked: list[bool] = []

    def told(*, cpu: bool) -> Room:
        asked.append(cpu)
        return Room(8 * GIB, 16 * GIB)

    monkeypatch.setattr("rag.compose.room", told)
    monkeypatch.setattr("rag.compose.is_cpu_build", lambda _: True)
    children = managed_servers(settings)
    assert list(children.servers) == ["answer", "fast"]
    missing = (4 + 1 + 3 + 1) * GIB + 2 * CPU_RUNTIME - 8 * GIB
    with pytest.raises(NotEnoughMemory, match=f"{missing / GIB:.1f} GiB are missing"):
        children.check()
    assert asked == [True]
    managed_servers(load_settings(vllm_model=big, vllm_kv_cache_gib=300)).check()  # alone it is let try


def test_beside_another_a_gpus_vllm_does_not_ask_for_all_memory(tmp_path: Path) -> None:
    def flags(*, cpu: bool, alone: bool) -> list[str]:
        return serving_flags(tmp_path, "m", 1024, "auto", 4, "", cpu=cpu, alone=alone)

    assert "--gpu-memory-utilization" in flags(cpu=False, alone=False)
    assert "--gpu-memory-utilization" not in flags(cpu=False, alone=True)
    assert "--gpu-memory-utilization" not in flags(cpu=True, alone=False)


def test_beside_another_each_has_the_cache_that_was_planned_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "40")
    assert child_environment(1, cpu=True)["VLLM_CPU_KVCACHE_SPACE"] == "40"
    assert child_environment(1, cpu=True, alone=False)["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_the_machines_memory_is_read() -> None:
    found = room.room(cpu=True)
    if found is not None:  # elsewhere than on Linux nothing is known
        assert 0 < found.free <= found.total
