"""A model's config.json, from a folder, from the hub or from what a preset brings; and its shape, by transformers.

transformers knows what each kind of model leaves out of its configuration, and builds the model without memory (torch's
meta device), so that parameters are counted and not estimated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from rag.errors import UnknownModel
from rag.sizing.shape import ModelShape
from rag.sizing.weights import Format, format_of

_STATE_BYTES, _CONV_BYTES = 4, 2  # float32 states are the common choice, and the larger one


def configuration(model: str) -> dict[str, Any]:
    """Of a folder with a config.json, or of a name on the Hugging Face hub. Raises UnknownModel."""
    folder = Path(model).expanduser()
    path = folder / "config.json" if folder.is_dir() else folder
    if not path.is_file():
        path = _fetched(model)
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UnknownModel(f"{path} cannot be read: {error}") from error
    if not isinstance(read, dict) or "model_type" not in read:
        raise UnknownModel(f"{path} is no model's configuration: it names no model_type.")
    return read


def _fetched(model: str) -> Path:
    # Imported where it is used: most plans are of a preset.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(hf_hub_download(model, "config.json"))
    except HFValidationError as error:
        raise UnknownModel(
            f"{model} is neither a folder with a config.json nor a model's name.",
            "openbook models lists the presets.",
        ) from error
    except Exception as error:  # the client raises those of the libraries beneath it, too
        raise UnknownModel(
            f"The configuration of {model} is not on this machine and cannot be fetched: {error}",
            "Name a folder that holds its config.json, or unset HF_HUB_OFFLINE.",
        ) from error


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """Raises UnknownModel for a kind that the installed transformers does not know."""
    text = _text(config)
    known, parameters = _built(text)
    dtype = text.get("dtype") or text.get("torch_dtype") or config.get("dtype") or config.get("torch_dtype")
    return _shape(known, parameters, format_of({**config, "dtype": dtype}))


def _text(config: Mapping[str, Any]) -> dict[str, Any]:
    """The language model alone, of one that also sees or hears."""
    inner = config.get("text_config") or config.get("llm_config")
    return dict(inner) if inner and "model_type" in inner else dict(config)


def _built(config: dict[str, Any]) -> tuple[Any, list[tuple[str, tuple[int, ...]]]]:
    """The configuration with its defaults, and each parameter's name and dimensions."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    own = {k: v for k, v in config.items() if k not in ("model_type", "quantization_config", "auto_map")}
    try:
        known = AutoConfig.for_model(config["model_type"], **own)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(known)  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever the model's own code raises for what it does not expect
        raise UnknownModel(
            f"transformers cannot make a model of kind {config['model_type']!r}: {error}",
            "Is it newer than the installed transformers?",
        ) from error
    return model.config.get_text_config(), [(name, tuple(p.shape)) for name, p in model.named_parameters()]


def _shape(known: Any, parameters: list[tuple[str, tuple[int, ...]]], form: Format) -> ModelShape:
    kinds = list(getattr(known, "layer_types", None) or _one_kind(known))
    full = sum(kind in ("full_attention", "attention") for kind in kinds)
    sliding = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds)
    recurrent = sum(kind in ("linear_attention", "mamba", "conv", "recurrent") for kind in kinds)
    kv, wide_kv = _kv_numbers(known)
    total = active = 0
    weight_bytes = active_bytes = 0.0
    for name, dimensions in parameters:
        numbers = prod(dimensions)
        taken = form.bytes_of(name, len(dimensions), numbers)
        share = _share(known, name, dimensions)
        total, weight_bytes = total + numbers, weight_bytes + taken
        active, active_bytes = active + int(numbers * share), active_bytes + taken * share
    return ModelShape(
        kind=known.model_type,
        window=known.max_position_embeddings,
        full_layers=full,
        sliding_layers=sliding,
        recurrent_layers=recurrent,
        kv_numbers=kv,
        wide_kv_numbers=wide_kv,
        sliding_window=_first(known, "sliding_window", "attention_chunk_size") or 0,
        state_bytes=recurrent * _state_bytes(known),
        hidden=known.hidden_size,
        vocabulary=known.vocab_size,
        parameters=total,
        active=active,
        weight_bytes=round(weight_bytes),
        active_bytes=round(active_bytes),
    )


def _one_kind(known: Any) -> list[str]:
    slides = getattr(known, "sliding_window", None) and getattr(known, "use_sliding_window", True)
    return ["sliding_attention" if slides else "full_attention"] * known.num_hidden_layers


def _kv_numbers(known: Any) -> tuple[int, int]:
    if rank := getattr(known, "kv_lora_rank", None):
        return (latent := rank + known.qk_rope_head_dim), latent
    heads = _first(known, "num_key_value_heads", "num_attention_heads")
    size = _first(known, "head_dim") or known.hidden_size // known.num_attention_heads
    wide = (_first(known, "num_global_key_value_heads") or heads) * (_first(known, "global_head_dim") or size)
    return 2 * heads * size, 2 * wide


def _state_bytes(known: Any) -> int:
    """Of one recurrent layer: its state and the last inputs of its convolution; 0 for kinds not known here."""
    if heads := _first(known, "linear_num_value_heads"):  # gated delta net
        key, value = known.linear_key_head_dim, known.linear_value_head_dim
        channels = 2 * known.linear_num_key_heads * key + heads * value
        inputs = channels * (known.linear_conv_kernel_dim - 1)
        return int(heads * key * value * _STATE_BYTES + inputs * _CONV_BYTES)
    if heads := _first(known, "mamba_num_heads", "mamba_n_heads"):  # Mamba 2
        size = _first(known, "mamba_head_dim", "mamba_d_head")
        state = _first(known, "ssm_state_size", "mamba_d_state")
        groups = _first(known, "n_groups", "mamba_n_groups") or 1
        kernel = _first(known, "conv_kernel", "mamba_d_conv") or 1
        channels = heads * size + 2 * groups * state
        return int(heads * size * state * _STATE_BYTES + channels * (kernel - 1) * _CONV_BYTES)
    return 0


def _share(known: Any, name: str, dimensions: tuple[int, ...]) -> float:
    """Of a parameter, how much a token passes through: its experts, and one row of embeddings that are not the output
    layer, too."""
    if ".experts." in name and len(dimensions) == 3:
        chosen = (
            _first(known, "num_experts_per_tok", "num_experts_per_token", "top_k_experts") or dimensions[0]
        )
        return float(chosen / dimensions[0])
    rows = "embed" in name and not getattr(known, "tie_word_embeddings", False)
    return 1 / dimensions[0] if rows else 1.0


def _first(known: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(known, name, None)) is not None), None)
