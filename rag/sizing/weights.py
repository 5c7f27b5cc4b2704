"""How many bytes each parameter of a quantized checkpoint takes, from ``quantization_config`` in its config.json.

Only matrices that tokens are multiplied with are quantized: not embeddings, the output layer, norms, convolutions or
the routers of experts. The formats: OCP MX 1.0 (MXFP4: 4 bits and a scale of 8 bits for 32 numbers), NVFP4 (4 bits and
a scale of 8 bits for 16), FP8 (8 bits; scales are too few to count), and integers with a scale of 16 bits for a group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from rag.errors import UnknownModel

_PLAIN = re.compile(r"embed|lm_head|norm|conv1d|router|\bgate\.|shared_expert_gate|A_log|dt_bias")
_BITS = {"float32": 32.0, "bfloat16": 16.0, "float16": 16.0}


@dataclass(frozen=True, slots=True)
class Format:
    """``bits`` of a quantized number with its share of the scales, ``plain`` of the others."""

    bits: float
    plain: float
    experts_only: bool = False
    ignored: Sequence[str] = ()

    def bytes_of(self, name: str, dimensions: int, numbers: int) -> float:
        return numbers * (self.bits if self._quantizes(name, dimensions) else self.plain) / 8

    def _quantizes(self, name: str, dimensions: int) -> bool:
        if dimensions < 2 or _PLAIN.search(name) or (self.experts_only and ".experts." not in name):
            return False
        return not any(_matches(pattern, name) for pattern in self.ignored)


def format_of(config: Mapping[str, Any]) -> Format:
    """Raises UnknownModel for a quantization that is not known here."""
    plain = _BITS.get(str(config.get("dtype") or config.get("torch_dtype") or "bfloat16"), 16.0)
    told = config.get("quantization_config") or {}
    method = str(told.get("quant_method", ""))
    ignored = told.get("modules_to_not_convert") or told.get("ignore") or told.get("exclude_modules") or ()
    if not told:
        return Format(plain, plain)
    if method == "mxfp4":
        return Format(4 + 8 / 32, plain, experts_only=True)
    if method == "fp8" or told.get("quant_algo") == "FP8":
        return Format(8, plain, ignored=ignored)
    if told.get("quant_algo") == "NVFP4":
        return Format(4 + 8 / 16, plain, ignored=ignored)
    if method in ("awq", "gptq"):
        return Format(_grouped(told["bits"], told.get("group_size", 128)), plain, ignored=ignored)
    if method == "compressed-tensors":
        return Format(_compressed(told), plain, ignored=ignored)
    raise UnknownModel(
        f"How large weights are in the quantization {method or told!r} is not known.",
        "Say what the checkpoint takes: --weights-gib.",
    )


def _compressed(told: Mapping[str, Any]) -> float:
    groups = list((told.get("config_groups") or {}).values())
    weights = [group["weights"] for group in groups if group.get("weights")]
    if not weights:
        raise UnknownModel(
            "The quantization names no format of weights.",
            "Say what the checkpoint takes: --weights-gib.",
        )
    first = weights[0]
    bits, size = int(first["num_bits"]), first.get("group_size")
    if first.get("type") == "float":
        return bits + (8 / size if size and bits == 4 else 0)
    return _grouped(bits, size) if size else float(bits)


def _grouped(bits: int, size: int) -> float:
    """A scale of 16 bits and a zero point of as many bits as a number has, for each group."""
    return bits + (16 + bits) / size if size > 0 else float(bits)


def _matches(pattern: str, name: str) -> bool:
    module = name.removesuffix(".weight")
    if pattern.startswith("re:"):
        return re.match(pattern[3:], module) is not None
    if "*" in pattern:
        return fnmatch(module, pattern)
    return module == pattern or f".{pattern}." in f".{module}."
