"""What ``openbook plan`` is asked for, and what comes of it: values alone, which the command reads and prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from api.plan_env import Server, Start, variables
from rag import priors
from rag.errors import BadRequest
from rag.sizing import configurations
from rag.sizing.plan import GIB, SPARK, Beside, Plan, Wanted, plan
from rag.sizing.presets import PRESETS, Helper, Preset, helper, preset
from rag.sizing.shape import ModelShape

ANSWER = 8192  # tokens of the window beside the context: instructions, question, answer
FAST_LENGTH = 4096  # tokens of the window of a model for small work
PACKAGED = "minilm"  # the embedder that openbook comes with
_BATCH, _KV_TYPE = "--max-num-batched-tokens", "--kv-cache-dtype"  # flags that a plan decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """As the options of the command; raises BadRequest where they do not go together. Of ``preset`` and ``model`` one
    is given, ``kv_gib``, ``kv_bits`` and ``weights_gib`` are None where they are to be found out."""

    preset: str
    model: str
    context: int
    users: int
    passages: float
    embedder: str
    reranker: str
    kv_gib: float | None
    kv_bits: int | None
    weights_gib: float | None
    fast: str
    fast_kv_gib: int
    memory_gb: float

    def __post_init__(self) -> None:
        if bool(self.preset) == bool(self.model):
            raise BadRequest(
                "Name either a preset or a model.",
                "openbook plan --preset reuse; openbook models lists them.",
            )
        if self.kv_bits not in (None, 8, 16):
            raise BadRequest(f"A number of the KV cache has 8 or 16 bits, not {self.kv_bits}.")


@dataclass(frozen=True, slots=True)
class Planned:
    """``env`` is what docker-compose.yml reads; of models in folders, what the service reads that starts them."""

    model: str
    shape: ModelShape
    wanted: Wanted
    plan: Plan
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is named by ``Asked``: ``preset`` is None for a model without one."""

    preset: Preset | None
    served: str
    shape: ModelShape
    embedder: Helper
    reranker: Helper | None
    fast: Beside | None


def planned(asked: Asked, *, needs_env: bool) -> Planned:
    """Reads the configurations of models that are no presets. Raises UnknownModel, and BadRequest, of ``env`` only
    where that is needed."""
    parts = _parts(asked)
    wanted = _wanted(asked, parts.preset)
    made = _plan(parts, wanted, round(asked.memory_gb * 1e9))
    env = _variables(_start(parts, wanted, made), made, needed=needs_env)
    return Planned(parts.served, parts.shape, wanted, made, env)


def _parts(asked: Asked) -> _Parts:
    chosen = preset(asked.preset) if asked.preset else None
    return _Parts(
        chosen,
        chosen.model if chosen else asked.model,
        _shape(chosen, asked.model, asked.weights_gib),
        helper(asked.embedder, "embedder"),
        helper(asked.reranker, "reranker") if asked.reranker else None,
        _beside(asked.fast, asked.fast_kv_gib) if asked.fast else None,
    )


def _wanted(asked: Asked, chosen: Preset | None) -> Wanted:
    number_bytes, batched_tokens = (chosen.kv_number_bytes, chosen.batched_tokens) if chosen else (2, 8192)
    return Wanted(
        asked.context,
        asked.users,
        round(asked.passages),
        kv_number_bytes=asked.kv_bits // 8 if asked.kv_bits else number_bytes,
        batched_tokens=batched_tokens,
        kv_bytes=None if asked.kv_gib is None else round(asked.kv_gib * GIB),
    )


def _plan(parts: _Parts, wanted: Wanted, memory: int) -> Plan:
    prior = priors.find((parts.preset and parts.preset.measured_as) or parts.served)
    return plan(
        parts.shape,
        wanted,
        machine=replace(SPARK, memory=memory),
        embedder=parts.embedder,
        reranker=parts.reranker,
        fast=parts.fast,
        cost=prior.cost if prior else None,
        cost_source=f"{prior.model}, {prior.engine}: {prior.source}" if prior else "",
    )


def _start(parts: _Parts, wanted: Wanted, made: Plan) -> Start:
    shape, flags = parts.shape, _flags(parts.preset, wanted.kv_number_bytes)
    return Start(
        Server(parts.served, min(shape.window, wanted.context + ANSWER), made.kv_bytes, flags),
        _server_beside(parts.fast) if parts.fast else None,
        min(wanted.context, shape.window - ANSWER),
        "" if parts.embedder.name == PACKAGED else parts.embedder.model,
        parts.reranker.model if parts.reranker else "",
    )


def _variables(start: Start, made: Plan, *, needed: bool) -> Mapping[str, str]:
    """None where it does not fit, or, unless they are ``needed``, where it can be started in no one way."""
    try:
        return variables(start) if made.fits else {}
    except BadRequest:
        if needed:
            raise
        return {}


def _shape(chosen: Preset | None, model: str, weights_gib: float | None) -> ModelShape:
    config = dict(chosen.config if chosen else configurations.configuration(model))
    if weights_gib is None:
        return configurations.shape_of(config)
    taken = round(weights_gib * GIB)
    shape = configurations.shape_of({k: v for k, v in config.items() if k != "quantization_config"})
    return replace(shape, weight_bytes=taken, active_bytes=taken * shape.active // shape.parameters)


def _flags(chosen: Preset | None, kv_number_bytes: int) -> tuple[str, ...]:
    given = [flag for flag in (chosen.flags if chosen else ()) if not flag.startswith(_KV_TYPE)]
    return (*given, f"{_KV_TYPE}=fp8") if kv_number_bytes == 1 else tuple(given)


def _known(model: str) -> Preset | None:
    return next((one for one in PRESETS if model in (one.name, one.model)), None)


def _beside(model: str, kv_gib: int) -> Beside:
    named = _known(model)
    shape = configurations.shape_of(dict(named.config if named else configurations.configuration(model)))
    number_bytes = named.kv_number_bytes if named else 2
    return Beside(
        named.model if named else model, shape, min(FAST_LENGTH, shape.window), kv_gib * GIB, number_bytes
    )


def _server_beside(fast: Beside) -> Server:
    """Its pieces are as long as its window, which docker-compose.yml says."""
    flags = _flags(_known(fast.name), fast.kv_number_bytes)
    return Server(
        fast.name, fast.length, fast.kv_bytes, tuple(flag for flag in flags if not flag.startswith(_BATCH))
    )
