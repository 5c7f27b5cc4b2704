"""What prefill costs on one DGX Spark by published measurements, for models that have not been calibrated. Pure.

The points are kept as they were published, prefill tokens per second at a length, and fitted when asked for. Below
their shortest length they say nothing: what a request costs by itself is known there only after a calibration.

Sources: djangodevreng/dgx-spark-benchmarks and the threads named there (vLLM), the llama.cpp repository's
benches/dgx-spark.md (llama.cpp, build 6918). KV bytes per token follow from the models' configurations; layers with a
sliding window or a state instead of a KV cache are not counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from rag.prefill import Cost, Sample, fit

_VLLM, _OTHER_BOX, _LLAMA_CPP = (
    "djangodevreng/dgx-spark-benchmarks",
    "djangodevreng/dgx-spark-benchmarks, from 32k another box: FlashInfer, FP8 KV cache, pieces of 32k",
    "llama.cpp benches/dgx-spark.md, build 6918",
)


@dataclass(frozen=True, slots=True)
class Prior:
    """``name`` is found in the names under which the model is served; ``kv_bytes`` is what the KV cache takes for a
    token, None where it is not known; ``rates`` are (new tokens, cached tokens before them, tokens per second)."""

    model: str
    engine: str
    name: str
    kv_bytes: int | None
    rates: tuple[tuple[int, int, float], ...]
    source: str

    @property
    def samples(self) -> tuple[Sample, ...]:
        return tuple(Sample(new, cached, new / rate) for new, cached, rate in self.rates)

    @property
    def cost(self) -> Cost:
        return _fitted(self)


@cache
def _fitted(prior: Prior) -> Cost:
    return fit(prior.samples)


def find(served: str) -> Prior | None:
    """Of the model that is served under this name, as ``nvidia/Qwen3.6-35B-A3B-NVFP4``: vLLM's figures first."""
    plain = _plain(served)
    return next((prior for prior in PRIORS if _plain(prior.name) in plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def _cold(**rates: float) -> tuple[tuple[int, int, float], ...]:
    """By length as published, ``_4k=4845``."""
    return tuple((_LENGTHS[length], 0, rate) for length, rate in rates.items())


def _pp2048(*rates: float) -> tuple[tuple[int, int, float], ...]:
    """2048 tokens behind 0, 4k, 8k, 16k and 32k."""
    return tuple((2048, depth, rate) for depth, rate in zip(_DEPTHS, rates, strict=True))


_LENGTHS = {
    "_4k": 4096, "_8k": 8192, "_16k": 16384, "_25k": 25000,
    "_32k": 32768, "_64k": 65536, "_131k": 131072, "_256k": 262144,
}  # fmt: skip
_DEPTHS = (0, 4096, 8192, 16384, 32768)

PRIORS = (
    Prior(
        "Nemotron-3-Nano-30B FP8", "vLLM 0.26", "Nemotron-3-Nano", 6_000,
        _cold(_4k=4845, _8k=7787, _16k=7930, _25k=7910), _VLLM,
    ),
    Prior(
        "gpt-oss-20b MXFP4", "vLLM 0.26", "gpt-oss-20b", 25_000,
        _cold(_4k=8658, _8k=7416, _16k=5837, _25k=4768), _VLLM,
    ),
    Prior(
        "Qwen3.6-35B-A3B NVFP4", "vLLM 0.26", "Qwen3.6-35B-A3B", 20_000,
        _cold(_4k=5942, _8k=5631, _16k=4994, _25k=4927, _32k=5336, _64k=4269, _131k=2956, _256k=1878), _OTHER_BOX,
    ),
    Prior(
        "Nemotron-3.5-Lightning NVFP4", "vLLM 0.27", "Nemotron-3.5-Lightning", None,
        _cold(_32k=5469, _64k=4776, _131k=3929), _VLLM,
    ),
    Prior(
        "Qwen3.6-27B BF16", "vLLM 0.26", "Qwen3.6-27B", None,
        _cold(_4k=1198, _8k=1152, _16k=1090, _25k=1067), _VLLM,
    ),
    Prior(
        "Nemotron-3-Super-120B NVFP4", "vLLM", "Nemotron-3-Super", None,
        _cold(_4k=1272, _8k=1250, _16k=1232, _25k=1228), _VLLM,
    ),
    Prior("gpt-oss-20b", "llama.cpp", "gpt-oss-20b", 25_000, _pp2048(3783, 3030, 2852, 2470, 1899), _LLAMA_CPP),
    Prior("gpt-oss-120b", "llama.cpp", "gpt-oss-120b", 37_000, _pp2048(1938, 1654, 1581, 1411, 1155), _LLAMA_CPP),
    Prior(
        "Qwen3-Coder-30B-A3B Q8", "llama.cpp", "Qwen3-Coder-30B-A3B", 98_000,
        _pp2048(3176, 2704, 2382, 1901, 1292), _LLAMA_CPP,
    ),
)  # fmt: skip
