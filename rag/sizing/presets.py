"""Models that suit one DGX Spark, each with how vLLM is told to serve it and why.

A preset brings the part of its model's config.json that sizes follow from, so that it can be planned without a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from rag.errors import UnknownModel


@dataclass(frozen=True, slots=True)
class Preset:
    """``model`` is its name on the Hugging Face hub, ``kv_number_bytes`` what a number of the KV cache takes, ``flags``
    are vLLM's, and ``why`` says of the model and of each flag what it is for. ``hybrid``: a beginning of a prompt is
    reused at checkpoints only. ``measured_as`` is a model of the same architecture whose speed is published, where its
    own is not."""

    name: str
    model: str
    title: str
    flags: tuple[str, ...]
    why: tuple[str, ...]
    licence: str
    sources: tuple[str, ...]
    kv_number_bytes: int = 2
    hybrid: bool = False
    batched_tokens: int = 8192
    measured_as: str = ""

    @property
    def config(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = _configs()[self.model]
        return found


@dataclass(frozen=True, slots=True)
class Helper:
    """A model beside the answering one: ``job`` is embedder or reranker; ``parameters`` it has, ``number_bytes`` each
    takes, and vectors of ``dimension`` it makes."""

    name: str
    job: str
    model: str
    parameters: int
    dimension: int
    tokens: int
    licence: str
    why: str
    number_bytes: int = 2

    @property
    def weight_bytes(self) -> int:
        return self.parameters * self.number_bytes


@cache
def _configs() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files(__package__) / "presets.json").read_text())
    return found


_BATCH = "--max-num-batched-tokens=8192"
_BATCH_WHY = "pieces of 8,192 tokens: larger ones read no faster, and make others wait longer"
_ATTENTION = "attention in every layer: any common beginning of two prompts is reused, block by block"
_REUSE = "--enable-prefix-caching"
_REUSE_WHY = (
    f"{_REUSE}: states of the recurrent layers are kept where pieces end, so a beginning is reused at those "
    "checkpoints only; openbook warm ends its prompts exactly where they are shared"
)
_TEXT_ONLY = "--language-model-only"

PRESETS = (
    Preset(
        "reuse",
        "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8",
        "What was read is surely reused; long contexts; quick answers",
        (_BATCH,),
        (_ATTENTION, "3 of 30 billion parameters work for a token, so answers come fast", _BATCH_WHY),
        "Apache-2.0",
        ("https://huggingface.co/Qwen/Qwen3-30B-A3B-Instruct-2507-FP8",),
        measured_as="Qwen3-Coder-30B-A3B",
    ),
    Preset(
        "reuse-small",
        "openai/gpt-oss-20b",
        "As reuse, in a quarter of the KV cache and half of the weights",
        (_BATCH,),
        (
            f"{_ATTENTION}; every second layer looks back 128 tokens only, which keeps its cache small",
            "it thinks before it answers, in a channel of its own: prompts go as text, and reuse is not foretold",
            _BATCH_WHY,
        ),
        "Apache-2.0",
        ("https://huggingface.co/openai/gpt-oss-20b", "https://arxiv.org/abs/2508.10925"),
    ),
    Preset(
        "reuse-large",
        "openai/gpt-oss-120b",
        "As reuse-small, and better at reasoning; half of the memory",
        (_BATCH,),
        (f"{_ATTENTION}; every second layer looks back 128 tokens only", _BATCH_WHY),
        "Apache-2.0",
        ("https://huggingface.co/openai/gpt-oss-120b", "https://arxiv.org/abs/2508.10925"),
    ),
    Preset(
        "fast",
        "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-FP8",
        "The fastest reader, and the smallest cache: 6 of 52 layers have one",
        ("--trust-remote-code", _REUSE, _BATCH),
        (
            "prefill stays near 7,900 tokens a second up to 25k on a Spark, where models with attention slow down",
            _REUSE_WHY,
            _BATCH_WHY,
        ),
        "NVIDIA Open Model License",
        ("https://huggingface.co/nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-FP8",),
        hybrid=True,
    ),
    Preset(
        "quality",
        "Qwen/Qwen3.6-35B-A3B-FP8",
        "The best answers of its size; 10 of 40 layers have a cache",
        (_TEXT_ONLY, "--kv-cache-dtype=fp8", _REUSE, _BATCH),
        (
            "attention in 10 of 40 layers and an FP8 cache: 10 KB a token",
            _REUSE_WHY,
            f"{_TEXT_ONLY}: its eyes would take memory and are not used",
            _BATCH_WHY,
        ),
        "Apache-2.0",
        ("https://huggingface.co/Qwen/Qwen3.6-35B-A3B-FP8",),
        kv_number_bytes=1,
        hybrid=True,
    ),
    Preset(
        "small",
        "Qwen/Qwen3-4B-Instruct-2507-FP8",
        "Small work beside another (openbook plan --fast small): follow-ups, titles of chats",
        (_BATCH,),
        (_ATTENTION, "4 GiB of weights; it does not think before it answers", _BATCH_WHY),
        "Apache-2.0",
        ("https://huggingface.co/Qwen/Qwen3-4B-Instruct-2507-FP8",),
    ),
)

HELPERS = (
    Helper(
        "minilm", "embedder", "sentence-transformers/all-MiniLM-L6-v2", 22_713_216, 384, 256,
        "Apache-2.0", "comes with openbook and runs on any CPU; English", 4,
    ),
    Helper(
        "qwen3-embedding", "embedder", "Qwen/Qwen3-Embedding-0.6B", 595_776_512, 1024, 512,
        "Apache-2.0", "over 100 languages and code; takes instructions with the question",
    ),
    Helper(
        "bge-m3", "embedder", "BAAI/bge-m3", 567_754_752, 1024, 512,
        "MIT", "over 100 languages; passages of any length to 8,192 tokens",
    ),
    Helper(
        "bge-reranker", "reranker", "BAAI/bge-reranker-v2-m3", 567_755_777, 0, 512,
        "Apache-2.0", "reorders what was found in over 100 languages",
    ),
    Helper(
        "minilm-reranker", "reranker", "cross-encoder/ms-marco-MiniLM-L6-v2", 22_713_601, 0, 512,
        "Apache-2.0", "a twentieth of the work; English", 4,
    ),
)  # fmt: skip


def preset(name: str) -> Preset:
    """Raises UnknownModel, as does ``helper``."""
    return _named(PRESETS, name, "preset")


def helper(name: str, job: str) -> Helper:
    return _named([one for one in HELPERS if one.job == job], name, job)


One = TypeVar("One", Preset, Helper)


def _named(among: Sequence[One], name: str, what: str) -> One:
    for one in among:
        if name in (one.name, one.model):
            return one
    known = ", ".join(one.name for one in among)
    raise UnknownModel(f"There is no {what} {name}.", f"There are: {known}.")
