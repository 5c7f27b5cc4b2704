"""What only vLLM tells: how its model's chat template looks in token ids, and what its prefix cache is.

Templates in which the model thinks before it answers are asked not to; where that cannot be, or where the reply has
channels, messages are sent, so that the server takes the reply apart.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

import httpx

from rag.ports import CacheShape
from rag.template import ASKED, FURTHER, SAID, SYSTEM, Encode, Template, find, template

log = logging.getLogger(__name__)

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError)
_SHAPE = re.compile(r"^vllm:cache_config_info\{(.*)\}", re.M)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_ROLES = (("system", SYSTEM), ("user", ASKED), ("assistant", SAID), ("user", FURTHER))
_THINKS, _HAS_THOUGHT, _CHANNELS = "<think>", "</think>", "<|start|>"


@dataclass(frozen=True, slots=True)
class Told:
    template: Template | None = None
    cache: CacheShape | None = None
    server: str = ""


async def tell(http: httpx.AsyncClient, root: str, model: str, encode: Encode | None) -> Told:
    """Nothing of what a server does not tell; no template without ``encode``."""
    told = Told(
        await _template(http, root, model, encode) if encode else None,
        await _shape(http, root),
        await _version(http, root),
    )
    log.info(
        "the model server at %s: %s, prompts as %s", root, told.cache, "ids" if told.template else "text"
    )
    return told


async def _template(http: httpx.AsyncClient, root: str, model: str, encode: Encode) -> Template | None:
    async def tokens(**body: Any) -> list[int]:
        reply = await http.post(f"{root}/tokenize", json={"model": model} | body, timeout=10.0)
        reply.raise_for_status()
        return [int(token) for token in reply.json()["tokens"]]

    async def rendered(messages: int) -> list[int]:
        said = [{"role": role, "content": content} for role, content in _ROLES[:messages]]
        return await tokens(messages=said, chat_template_kwargs={"enable_thinking": False})

    try:
        found = template(await rendered(2), await rendered(4), encode)
        if found is None:
            return None
        marks = [
            await tokens(prompt=mark, add_special_tokens=False) for mark in (_THINKS, _HAS_THOUGHT, _CHANNELS)
        ]
    except _FAILURES:
        return None
    thinks, has_thought, channels = marks
    is_thinking = find(found.end, thinks) is not None and find(found.end, has_thought) is None
    return None if is_thinking or find(found.begin, channels) is not None else found


async def _shape(http: httpx.AsyncClient, root: str) -> CacheShape | None:
    try:
        reply = await http.get(f"{root}/metrics", timeout=10.0)
        reply.raise_for_status()
        labels = dict(_LABEL.findall(_SHAPE.findall(reply.text)[0]))
        if labels.get("enable_prefix_caching", "True") != "True":
            return None
        return CacheShape(int(labels["block_size"]), int(labels["num_gpu_blocks"]))
    except (*_FAILURES, IndexError):
        return None


async def _version(http: httpx.AsyncClient, root: str) -> str:
    try:
        reply = await http.get(f"{root}/version", timeout=10.0)
        reply.raise_for_status()
        return f"vLLM {reply.json()['version']}"
    except _FAILURES:
        return ""
