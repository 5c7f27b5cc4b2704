"""What models take: counted from their configurations, against what is published of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from openbook.app import app
from rag import priors
from rag.errors import UnknownModel
from rag.sizing.configurations import configuration, shape_of
from rag.sizing.plan import GIB, SPARK, Beside, Plan, Wanted, plan
from rag.sizing.presets import PRESETS, helper, preset
from rag.sizing.shape import ModelShape
from rag.sizing.weights import format_of

CONFIGS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "model_configs.json").read_text()
)

# layers with a cache that grows x numbers kept in each of them for a token x bytes of a number, by hand.
BY_HAND = {
    "SmolLM2-135M": 30 * (2 * 3 * 64) * 2,
    "Llama-3.1-8B": 32 * (2 * 8 * 128) * 2,
    "Llama-3.1-70B": 80 * (2 * 8 * 128) * 2,
    "Llama-3.1-405B": 126 * (2 * 8 * 128) * 2,
    "Qwen2.5-72B": 80 * (2 * 8 * 128) * 2,
    "Qwen3-8B": 36 * (2 * 8 * 128) * 2,
    "Qwen3-30B-A3B-Instruct-2507": 48 * (2 * 4 * 128) * 2,
    "gpt-oss-20b": 12 * (2 * 8 * 64) * 2,
    "gpt-oss-120b": 18 * (2 * 8 * 64) * 2,
    "Qwen3-Next-80B-A3B": 12 * (2 * 2 * 256) * 2,
    "Qwen3.6-35B-A3B": 10 * (2 * 2 * 256) * 2,
    "Qwen3.6-27B": 16 * (2 * 4 * 256) * 2,
    "Nemotron-3-Nano-30B-A3B": 6 * (2 * 2 * 128) * 2,
    "DeepSeek-V3": 61 * (512 + 64) * 2,
    "DeepSeek-V2-Lite": 27 * (512 + 64) * 2,
    "Gemma-3-27B": 10 * (2 * 16 * 128) * 2,
    "Mistral-7B-v0.1": 0,
    "Phi-4": 40 * (2 * 10 * 128) * 2,
}


def shape(name: str) -> ModelShape:
    return shape_of(CONFIGS[name])


@pytest.mark.models
@pytest.mark.parametrize("name", CONFIGS)
def test_the_cache_of_a_token_is_what_it_is_by_hand(name: str) -> None:
    assert shape(name).kv_bytes_per_token() == BY_HAND[name]


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "published"),
    [  # DeepSeek-AI, "Insights into DeepSeek-V3", arXiv 2505.09343, table 1: KB of 1000 bytes
        ("DeepSeek-V3", 70.272),
        ("Qwen2.5-72B", 327.680),
        ("Llama-3.1-405B", 516.096),
    ],
)
def test_the_cache_of_a_token_is_as_published(name: str, published: float) -> None:
    assert shape(name).kv_bytes_per_token() / 1000 == pytest.approx(published)


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "billions", "active"),
    [  # the models' cards and reports; gpt-oss: arXiv 2508.10925, table 1
        ("gpt-oss-20b", 20.91, 3.61),
        ("gpt-oss-120b", 116.83, 5.13),
        ("Qwen3-30B-A3B-Instruct-2507", 30.5, 3.3),
        ("Nemotron-3-Nano-30B-A3B", 31.6, 3.2),
        ("DeepSeek-V3", 671, 37),
        ("DeepSeek-V2-Lite", 15.7, 2.4),
        ("SmolLM2-135M", 0.135, 0.135),
        ("Llama-3.1-70B", 70.6, 70.6),
    ],
)
def test_parameters_are_as_published(name: str, billions: float, active: float) -> None:
    found = shape(name)
    assert found.parameters / 1e9 == pytest.approx(billions, rel=0.01)
    assert found.active / 1e9 == pytest.approx(active, rel=0.1)


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("gpt-oss-20b", 12.8 * GIB),  # checkpoints: arXiv 2508.10925, table 1
        ("gpt-oss-120b", 60.8 * GIB),
        ("Llama-3.1-8B", 16e9),  # https://huggingface.co/blog/llama31, inference memory requirements
        ("Llama-3.1-70B", 140e9),
        ("Llama-3.1-405B", 810e9),
    ],
)
def test_weights_take_what_is_published(name: str, published: float) -> None:
    assert shape(name).weight_bytes == pytest.approx(published, rel=0.02)


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "tokens", "published"),
    [  # https://huggingface.co/blog/llama31: GB of 2^30 bytes, k of 1000 tokens but for the shortest
        ("Llama-3.1-8B", 1024, 0.125),
        ("Llama-3.1-8B", 16_000, 1.95),
        ("Llama-3.1-8B", 128_000, 15.62),
        ("Llama-3.1-70B", 16_000, 4.88),
        ("Llama-3.1-70B", 128_000, 39.06),
    ],
)
def test_the_cache_of_a_context_takes_what_is_published(name: str, tokens: int, published: float) -> None:
    assert shape(name).kv_bytes(tokens) / GIB == pytest.approx(published, rel=0.01)


@pytest.mark.models
def test_a_sliding_window_is_full_once_and_a_state_does_not_grow() -> None:
    mistral = shape("Mistral-7B-v0.1")
    assert mistral.kv_bytes(4096) == 4096 * 32 * (2 * 8 * 128) * 2 == mistral.kv_bytes(100_000)
    nano = shape("Nemotron-3-Nano-30B-A3B")
    assert nano.hybrid
    # 64 heads of 64 x 128 numbers of 4 bytes, and 3 inputs of 4096 + 2 x 8 x 128 channels of 2 bytes, in 23 layers
    assert nano.state_bytes == 23 * (64 * 64 * 128 * 4 + 3 * (64 * 64 + 2 * 8 * 128) * 2)
    assert nano.kv_bytes(1000) - nano.kv_bytes(0) == 1000 * nano.kv_bytes_per_token()


def test_formats_take_what_their_definitions_say() -> None:
    plain = {"torch_dtype": "bfloat16"}
    assert format_of(plain).bytes_of("model.layers.0.mlp.up_proj.weight", 2, 100) == 200
    fp8 = format_of(
        plain | {"quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["lm_head"]}}
    )
    assert fp8.bytes_of("model.layers.0.mlp.up_proj.weight", 2, 100) == 100
    for kept in ("lm_head.weight", "model.embed_tokens.weight", "model.layers.0.mlp.gate.weight"):
        assert fp8.bytes_of(kept, 2, 100) == 200
    nvfp4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["model.layers.0.self_attn*"]}
    form = format_of(plain | {"quantization_config": nvfp4})
    assert form.bytes_of("model.layers.1.self_attn.q_proj.weight", 2, 160) == 90
    assert form.bytes_of("model.layers.0.self_attn.q_proj.weight", 2, 160) == 320
    awq = format_of(plain | {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}})
    assert awq.bytes_of("model.layers.0.mlp.up_proj.weight", 2, 128) == pytest.approx((128 * 4 + 16 + 4) / 8)
    group = {"weights": {"num_bits": 8, "type": "float"}}
    told = {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": group},
        "ignore": ["re:.*up_proj"],
    }
    form = format_of(plain | {"quantization_config": told})
    assert form.bytes_of("model.layers.0.mlp.down_proj.weight", 2, 100) == 100
    assert form.bytes_of("model.layers.0.mlp.up_proj.weight", 2, 100) == 200
    with pytest.raises(UnknownModel, match=r"aqlm.*--weights-gib"):
        format_of(plain | {"quantization_config": {"quant_method": "aqlm"}})


def test_what_is_no_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnknownModel, match="presets"):
        configuration("a/b/c")
    with pytest.raises(UnknownModel, match="cannot be fetched"):
        configuration("nobody/no-such-model")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnknownModel, match="model_type"):
        configuration(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnknownModel, match="cannot be read"):
        configuration(str(tmp_path))
    with pytest.raises(UnknownModel, match=r"There is no preset best.*reuse"):
        preset("best")


@pytest.mark.models
def test_a_kind_that_transformers_does_not_know_is_named() -> None:
    with pytest.raises(UnknownModel, match="unheard_of"):
        shape_of({"model_type": "unheard_of"})


DENSE = ModelShape(
    "llama", 131072, 10, 0, 0, 1000, 1000, 0, 0, 4096, 100_000, 8 * 10**9, 8 * 10**9, 16 * 10**9, 16 * 10**9
)
WANTED = Wanted(context=100_000, users=2, passages=1_000_000)


def planned(wanted: Wanted = WANTED, **machine: Any) -> Plan:
    return plan(DENSE, wanted, machine=replace(SPARK, **machine), embedder=helper("minilm", "embedder"))


def test_everything_of_a_machine_adds_up_to_its_memory() -> None:
    made = planned()
    assert sum(item.bytes for item in made.items) + made.kv_bytes == made.memory == 128 * 10**9
    assert made.kv_bytes_per_token == 20_000
    assert made.needed_bytes == 2 * 100_000 * 20_000
    assert made.resident_tokens == made.kv_bytes // 20_000
    assert made.fits
    assert made.speed.cold_s is None


@pytest.mark.parametrize(
    ("wanted", "memory", "problem"),
    [
        (replace(WANTED, context=200_000), 128, "window is 131,072 tokens"),
        (WANTED, 30, "Without any KV cache"),
        (replace(WANTED, users=60), 128, "need 111.8 GiB"),
        (replace(WANTED, kv_bytes=200 * GIB), 128, "more than is left"),
    ],
)
def test_what_does_not_fit_is_told(wanted: Wanted, memory: int, problem: str) -> None:
    made = planned(wanted, memory=memory * 10**9)
    assert not made.fits
    assert any(problem in told for told in made.problems)


def test_first_tokens_are_those_of_the_published_table() -> None:
    prior = priors.find("Qwen/Qwen3.6-35B-A3B-FP8")
    assert prior
    for new, cached, rate in prior.rates:
        wanted = replace(WANTED, context=new + cached)
        made = plan(DENSE, wanted, embedder=helper("minilm", "embedder"), cost=prior.cost, cost_source="it")
        assert made.speed.cold_s == pytest.approx((new + cached) / rate, rel=0.2)
        assert made.speed.warm_s is not None
        assert made.speed.disk_s is not None
        assert made.speed.warm_s < made.speed.disk_s


@pytest.mark.models
@pytest.mark.parametrize("one", PRESETS, ids=lambda one: one.name)
def test_every_preset_fits_on_a_spark_with_one_whole_context(one: Any) -> None:
    found = shape_of(one.config)
    assert found.hybrid == one.hybrid
    wanted = Wanted(131_072 - 8192, 1, 1_000_000, kv_number_bytes=one.kv_number_bytes)
    made = plan(
        found,
        wanted,
        embedder=helper("qwen3-embedding", "embedder"),
        reranker=helper("bge-reranker", "reranker"),
    )
    assert made.fits, made.problems


def openbook(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_presets_are_listed_and_told() -> None:
    code, told, _ = openbook("models")
    assert code == 0
    assert all(one.name in told and one.model in told for one in PRESETS)
    told = openbook("models", "fast")[1]
    assert "vllm serve nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-FP8 --trust-remote-code" in told
    listed = json.loads(openbook("models", "--json")[1])
    assert [one["name"] for one in listed["presets"]] == [one.name for one in PRESETS]


def test_a_second_model_takes_from_the_cache_of_the_first() -> None:
    small = Beside("small", DENSE, 4096, 2 * GIB)
    alone, both = planned(), plan(DENSE, WANTED, embedder=helper("minilm", "embedder"), fast=small)
    added = both.items[len(alone.items) :]
    assert [item.what for item in added] == [
        "fast: weights",
        "fast: activations",
        "fast: model server",
        "fast: KV cache",
    ]
    assert alone.kv_bytes - both.kv_bytes == sum(item.bytes for item in added)
    narrow = replace(small, kv_bytes=DENSE.kv_bytes(4096) - GIB)
    (problem,) = plan(DENSE, WANTED, embedder=helper("minilm", "embedder"), fast=narrow).problems
    assert "1.0 GiB more than its KV cache has" in problem
