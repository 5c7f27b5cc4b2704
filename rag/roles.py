"""What settings say of each model, as if it were the only one."""

from __future__ import annotations

from rag.model_at import ModelAt
from rag.served import ANSWER, FAST
from rag.settings import Settings


def settings_of(settings: Settings) -> dict[str, Settings]:
    """By the name of each model, the first the one that answers: ``llm_*``, ``vllm_*`` and ``tokenizer`` are its."""
    found = {ANSWER: settings}
    if settings.has_fast:
        found[FAST] = _fast(settings)
    return found | {name: _further(settings, at) for name, at in settings.models.items()}


def _fast(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "llm_url": settings.fast_url,
            "llm_model": settings.fast_model,
            "llm_api_key": settings.fast_api_key,
            "tokenizer": None,
            "vllm_model": settings.fast_vllm_model or settings.vllm_model,
            "vllm_max_model_len": settings.fast_vllm_max_model_len,
            "vllm_kv_cache_gib": settings.fast_vllm_kv_cache_gib,
            "vllm_args": settings.fast_vllm_args,
            "kv_disk": None,  # of the long prompts, which this one does not get
        }
    )


def _further(settings: Settings, at: ModelAt) -> Settings:
    return settings.model_copy(
        update={
            "llm_url": at.url,
            "llm_model": at.model,
            "llm_api_key": at.api_key,
            "llm_window": at.window or settings.llm_window,
            "tokenizer": at.tokenizer,
        }
    )
