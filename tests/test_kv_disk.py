"""The KV cache on a disk: what vLLM is told, and what is deleted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rag.errors import BadSetting
from rag.models.kv_disk import KvDisk, flags, prune
from rag.models.vllm_command import serving_flags

MIB = 2**20
HASH = "ab12" * 16


def block(folder: Path, name: str, used: int, mebibytes: int = 400) -> Path:
    path = folder / "model_1f2e_r0" / name[:3] / f"{name[3:5]}_g0" / f"{name}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, mebibytes * MIB)
    os.utime(path, (used, used))
    return path


def test_the_flags_name_a_tier_on_the_disk() -> None:
    option, value = flags(KvDisk(Path("/cache/kv"), 64, 2), cpu=False)
    assert option == "--kv-transfer-config"
    assert json.loads(value) == {
        "kv_connector": "OffloadingConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {
            "spec_name": "TieringOffloadingSpec",
            "cpu_bytes_to_use": 2 * 2**30,
            "secondary_tiers": [{"type": "fs", "root_dir": "/cache/kv"}],
        },
    }


def test_they_are_among_the_server_s_only_where_asked_for() -> None:
    def made(disk: KvDisk | None) -> list[str]:
        return serving_flags(Path("m"), "m", 1024, "auto", 2, "--max-num-seqs 4", cpu=False, kv_disk=disk)

    assert "--kv-transfer-config" not in made(None)
    asked = made(KvDisk(Path("/cache/kv"), 64, 2))
    assert "--kv-transfer-config" in asked
    assert asked[-2:] == ["--max-num-seqs", "4"]  # a person's own choice goes last


def test_a_cpu_refuses_it() -> None:
    with pytest.raises(BadSetting, match="OPENBOOK_KV_DISK needs a GPU"):
        flags(KvDisk(Path("/cache/kv"), 64, 2), cpu=True)


def test_the_least_recently_used_goes_until_the_rest_fits(tmp_path: Path) -> None:
    old, new, middle = (block(tmp_path, f"{n}{HASH}", used) for n, used in enumerate((100, 300, 200)))
    other = tmp_path / "model_1f2e_r0" / "notes.bin"
    other.write_bytes(b"mine")
    unfinished = old.with_name(f"{old.name}_123.tmp")
    unfinished.touch()
    prune(KvDisk(tmp_path, 1, 1))
    assert [path.exists() for path in (old, middle, new, other, unfinished)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_nothing_is_deleted_that_is_not_a_block(tmp_path: Path) -> None:
    mine = tmp_path / "data_r0" / "abc" / "de_g0" / "holiday.bin"
    mine.parent.mkdir(parents=True)
    mine.touch()
    os.truncate(mine, 2048 * MIB)
    prune(KvDisk(tmp_path, 1, 1))
    assert mine.exists()


def test_a_folder_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    prune(KvDisk(tmp_path / "none", 1, 1))
