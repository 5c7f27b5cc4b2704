"""The published figures for one DGX Spark: each is met, and found by the name of a served model."""

from __future__ import annotations

import pytest

from rag import priors
from rag.prefill import Sample
from rag.priors import PRIORS, Prior

POINTS = [(prior, sample) for prior in PRIORS for sample in prior.samples]


@pytest.mark.parametrize(
    ("prior", "sample"),
    POINTS,
    ids=[f"{p.engine} {p.model} {s.new}@{s.cached}".replace(" ", "-") for p, s in POINTS],
)
def test_each_published_first_token_is_predicted_within_a_fifth(prior: Prior, sample: Sample) -> None:
    assert prior.cost.seconds(sample.new, sample.cached) == pytest.approx(sample.seconds, rel=0.2)


def test_all_published_points_are_there() -> None:
    assert len(POINTS) == 27 + 15  # vLLM's table, and five depths of three models by llama.cpp


@pytest.mark.parametrize(
    ("served", "model"),
    [
        ("openai/gpt-oss-20b", "gpt-oss-20b MXFP4"),
        ("gpt-oss:120b", "gpt-oss-120b"),
        ("nvidia/Qwen3.6-35B-A3B-NVFP4", "Qwen3.6-35B-A3B NVFP4"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "Qwen3-Coder-30B-A3B Q8"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-FP8", "Nemotron-3-Nano-30B FP8"),
    ],
)
def test_a_model_is_found_under_the_names_it_is_served_by(served: str, model: str) -> None:
    found = priors.find(served)
    assert found is not None
    assert found.model == model


@pytest.mark.parametrize("served", ["SmolLM2-135M-Instruct", "gpt-oss", "Qwen3-30B-A3B", ""])
def test_other_models_have_none(served: str) -> None:
    assert priors.find(served) is None


def test_a_prior_is_fitted_once() -> None:
    assert PRIORS[0].cost is PRIORS[0].cost


def test_depths_of_equal_pieces_add_up_to_long_prompts() -> None:
    """llama.cpp reads 2048 tokens at depths: a cold prompt of 8k is four of them, not one."""
    prior = next(p for p in PRIORS if p.engine == "llama.cpp")
    assert prior.cost.seconds(8192) > 3.9 * prior.cost.seconds(2048)
