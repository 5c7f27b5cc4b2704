"""What openbook plan writes: what docker-compose.yml reads, or what openbook serve does, and no more started than was
added up."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from typer.testing import CliRunner

import compose_file
from api.plan_env import FAST_SERVER, Server, Start, switched, variables, write
from compose_file import COMPOSE, ENVIRONMENT
from openbook.app import app
from rag.errors import BadRequest
from rag.settings import load_settings
from rag.sizing.plan import GIB

TINY = {
    "model_type": "llama", "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8,
    "num_key_value_heads": 2, "intermediate_size": 1024, "vocab_size": 32000, "max_position_embeddings": 32768,
    "torch_dtype": "bfloat16",
}  # fmt: skip
LARGE, SMALL = Server("org/large", 40960, 20 * GIB, ("--a",)), Server("org/small", 4096, GIB)


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("large", "small"):
        (folder := tmp_path / name).mkdir()
        (folder / "config.json").write_text(json.dumps(TINY))
    return tmp_path / "large", tmp_path / "small"


def openbook(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def refused(*arguments: object) -> str:
    error = CliRunner().invoke(app, [*map(str, arguments)]).exception
    assert isinstance(error, BadRequest)
    return str(error)


def read(env: Path) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(env).items()}


def model_servers(env: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """That compose starts with this file: the model of each, and its flags."""
    found = {}
    for name, each in compose_file.started(COMPOSE, ENVIRONMENT | read(env)).items():
        if each["image"].startswith("vllm/"):
            model, *flags = shlex.split(each["command"])
            parts = (flag.partition("=") for flag in flags)
            found[name] = model, {flag: value for flag, _, value in parts}
    return found


def test_all_that_is_written_for_containers_is_read_by_compose() -> None:
    written = set(variables(Start(LARGE, SMALL, 32768, "", "")))
    assert written <= compose_file.documented(COMPOSE)
    read_there = {match[1] for match in compose_file.VARIABLE.finditer(COMPOSE.read_text())}
    assert written - read_there == {"COMPOSE_PROFILES"}


def test_other_profiles_stay_on_and_the_second_model_goes_off_with_the_plan() -> None:
    both = variables(Start(LARGE, SMALL, 32768, "", ""))
    alone = variables(Start(LARGE, None, 32768, "", ""))
    assert switched(both, {})["COMPOSE_PROFILES"] == "fast"
    before = {"COMPOSE_PROFILES": "tls, fast,observability", "OPENBOOK_FAST_URL": FAST_SERVER}
    assert switched(both, before)["COMPOSE_PROFILES"] == "tls,observability,fast"
    off = switched(alone, before)
    assert (off["COMPOSE_PROFILES"], off["OPENBOOK_FAST_URL"]) == ("tls,observability", "")
    assert switched(alone, {"COMPOSE_PROFILES": "tls", "OPENBOOK_FAST_URL": "http://10.0.0.2/v1"}) == alone


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot be written"):
        write(tmp_path / "none" / ".env", {"MODEL": "a"})


@pytest.mark.models
def test_a_plan_is_written_where_compose_reads_it(env: Path) -> None:
    env.write_text("DOCUMENTS=/srv/papers\nMODEL=another\n")
    code, told, _ = openbook("plan", "--preset", "quality", "--users", "4", "--passages", "2e6", "--env", env)
    assert code == 0
    assert "tokens stay cached" in told
    written = read(env)
    assert written["DOCUMENTS"] == "/srv/papers"
    assert written["MODEL"] == "Qwen/Qwen3.6-35B-A3B-FP8"
    assert written["MODEL_LENGTH"] == "139264"
    assert int(written["KV_CACHE_BYTES"]) > 30 * GIB


@pytest.mark.models
def test_what_does_not_fit_is_not_written(env: Path) -> None:
    code, _, told = openbook("plan", "--preset", "reuse", "--users", "40", "--env", env)
    assert code == 1
    assert "does not fit" in told
    assert not env.exists()


@pytest.mark.models
def test_compose_starts_what_was_added_up(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models, then one again: caches, windows and pieces as they were planned, and no server that was not."""
    for arguments in (("--fast", "small", "--reranker", "bge-reranker"), ()):
        code, out, told = openbook("plan", "--preset", "reuse", *arguments, "--env", env, "--json")
        assert code == 0, told
        plan = json.loads(out)["plan"]
        servers = model_servers(env)
        items: dict[str, int] = {item["what"]: item["bytes"] for item in plan["items"]}
        assert len(servers) == sum(what.endswith("model server") for what in items)
        model, flags = servers["vllm"]
        assert model == "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8"
        assert plan["kv_bytes"] - 2**20 < int(flags["--kv-cache-memory-bytes"]) <= plan["kv_bytes"]
        assert flags["--max-num-batched-tokens"] == "8192"
        settings = compose_settings(env, monkeypatch)
        assert settings.has_fast == ("vllm-fast" in servers) == bool(arguments)
        assert settings.reranker == ("BAAI/bge-reranker-v2-m3" if arguments else None)
        if arguments:
            model, flags = servers["vllm-fast"]
            assert model == "Qwen/Qwen3-4B-Instruct-2507-FP8"
            assert int(flags["--kv-cache-memory-bytes"]) == items["fast: KV cache"]
            assert flags["--max-model-len"] == flags["--max-num-batched-tokens"] == "4096"
            assert str(settings.fast_url) == FAST_SERVER
    assert "docker compose stop vllm-fast" in told


def compose_settings(env: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    openbook = compose_file.started(COMPOSE, ENVIRONMENT | read(env))["openbook"]
    with monkeypatch.context() as patch:
        for name, value in openbook["environment"].items():
            patch.setenv(name, value)
        return load_settings()


@pytest.mark.models
def test_the_width_of_the_cache_is_what_was_planned(env: Path) -> None:
    for preset, bits, wanted in (("reuse", 8, "fp8"), ("quality", 16, None), ("quality", 8, "fp8")):
        assert openbook("plan", "--preset", preset, "--kv-bits", bits, "--env", env)[0] == 0
        assert model_servers(env)["vllm"][1].get("--kv-cache-dtype") == wanted


@pytest.mark.models
def test_models_in_folders_are_written_as_the_service_reads_them(
    env: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = folders
    sizes = ("--context", "8192", "--kv-gib", "8", "--env", env)
    code, out, told = openbook("plan", "--model", large, "--fast", small, *sizes)
    assert code == 0, told
    assert "fast: weights" in out
    assert "openbook serve starts with it" in re.sub(r"\s+", " ", told)
    for name, value in read(env).items():
        monkeypatch.setenv(name, value)
    made = load_settings()
    assert (made.vllm_model, made.fast_vllm_model) == (large, small)
    assert (made.vllm_kv_cache_gib, made.fast_vllm_kv_cache_gib) == (8, 1)
    assert (made.vllm_max_model_len, made.fast_vllm_max_model_len) == (16384, 4096)
    assert made.fast_vllm_args == "--max-num-batched-tokens=4096"
    assert made.context_tokens == 8192


@pytest.mark.models
def test_one_model_in_a_folder_is_for_the_service_too(
    env: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    env.write_text(f"COMPOSE_PROFILES=fast\nOPENBOOK_FAST_URL={FAST_SERVER}\n")  # of a plan before
    assert openbook("plan", "--model", folders[0], "--context", "8192", "--env", env)[0] == 0
    for name, value in read(env).items():
        monkeypatch.setenv(name, value)
    made = load_settings()
    assert (made.vllm_model, made.has_fast) == (folders[0], False)


@pytest.mark.models
def test_a_folder_and_a_name_go_by_no_one_way(env: Path, folders: tuple[Path, Path]) -> None:
    asked = ("plan", "--model", folders[0], "--fast", "small", "--context", "8192")
    assert openbook(*asked)[0] == 0  # what it takes can be told
    assert "Qwen/Qwen3-4B-Instruct-2507-FP8 is no folder" in refused(*asked, "--env", env)
    assert "whole GiB" in refused(
        "plan", "--model", folders[0], "--context", "8192", "--kv-gib", "0.5", "--env", env
    )
    assert not env.exists()
