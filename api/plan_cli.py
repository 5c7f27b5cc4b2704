"""``openbook models`` and ``openbook plan``: which model to serve, and what fits beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api.plan_env import Server, Start, variables, write
from rag import priors
from rag.errors import BadRequest
from rag.sizing import configurations
from rag.sizing.plan import GIB, SPARK, Beside, Plan, Speed, Wanted, plan
from rag.sizing.presets import HELPERS, PRESETS, Helper, Preset, helper, preset
from rag.sizing.shape import ModelShape
from rag.terminal import JsonOption, err, literal, out, print_json

ANSWER = 8192  # tokens of the window beside the context: instructions, question, answer
_FEWEST = 1024
FAST_LENGTH = 4096  # tokens of the window of a model for small work
_BATCH, _KV_TYPE = "--max-num-batched-tokens", "--kv-cache-dtype"  # flags that a plan decides


@dataclass(frozen=True, slots=True)
class Listed:
    presets: tuple[Preset, ...]
    helpers: tuple[Helper, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """``env`` is what docker-compose.yml reads; of models in folders, what the service reads that starts them."""

    model: str
    shape: ModelShape
    wanted: Wanted
    plan: Plan
    env: Mapping[str, str]


def models(
    name: Annotated[str, typer.Argument(help="Tell all of one preset.")] = "", as_json: JsonOption = False
) -> None:
    """List the models that suit one DGX Spark, with how they are served and why."""
    chosen = (preset(name),) if name else PRESETS
    if as_json:
        print_json(Listed(chosen, () if name else HELPERS))
    elif name:
        _tell(chosen[0])
    else:
        _list()


def plan_command(
    name: Annotated[str, typer.Option("--preset", help="One of openbook models.")] = "",
    model: Annotated[
        str, typer.Option(help="Instead of a preset: a folder with a config.json, or a name on the hub.")
    ] = "",
    context: Annotated[int, typer.Option(min=_FEWEST, help="Tokens that an answer may read.")] = 131072,
    users: Annotated[int, typer.Option(min=1, help="Who ask at a time.")] = 1,
    passages: Annotated[
        float, typer.Option(min=0, help="In all collections; a page has about five.")
    ] = 100_000,
    embedder: Annotated[str, typer.Option(help="One of openbook models.")] = "minilm",
    reranker: Annotated[str, typer.Option(help="One of openbook models; by default none.")] = "",
    kv_gib: Annotated[
        float | None, typer.Option(min=0.1, help="KV cache, in GiB; by default all that is left.")
    ] = None,
    kv_bits: Annotated[
        int | None,
        typer.Option(help="8 or 16 for a number of the KV cache; by default the preset's, else 16."),
    ] = None,
    weights_gib: Annotated[
        float | None, typer.Option(min=0.01, help="What the checkpoint takes, where that cannot be told.")
    ] = None,
    fast: Annotated[
        str,
        typer.Option(
            help="A small model beside it for small work: a folder, a name on the hub, or one of openbook models."
        ),
    ] = "",
    fast_kv_gib: Annotated[int, typer.Option(min=1, help="Its KV cache, in GiB.")] = 1,
    memory_gb: Annotated[float, typer.Option(min=1, help="Of the machine, in units of 10^9 bytes.")] = 128,
    env: Annotated[
        Path | None,
        typer.Option(
            help="Write what docker-compose.yml reads to this file, of models in folders what openbook serve reads; "
            "other lines stay."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what fits into a machine's memory with a model, how much stays cached, and how fast it reads. Exit code 1
    when it does not fit."""
    if bool(name) == bool(model):
        raise BadRequest(
            "Name either a preset or a model.", "openbook plan --preset reuse; openbook models lists them."
        )
    if kv_bits not in (None, 8, 16):
        raise BadRequest(f"A number of the KV cache has 8 or 16 bits, not {kv_bits}.")
    chosen = preset(name) if name else None
    with err.status("looking at the model", spinner="dots"):  # transformers takes seconds to import
        shape = _shape(chosen, model, weights_gib)
    wanted = Wanted(
        context,
        users,
        round(passages),
        kv_number_bytes=kv_bits // 8 if kv_bits else chosen.kv_number_bytes if chosen else 2,
        batched_tokens=chosen.batched_tokens if chosen else 8192,
        kv_bytes=None if kv_gib is None else round(kv_gib * GIB),
    )
    served = chosen.model if chosen else model
    small = _beside(fast, fast_kv_gib) if fast else None
    prior = priors.find((chosen and chosen.measured_as) or served)
    made = plan(
        shape,
        wanted,
        machine=replace(SPARK, memory=round(memory_gb * 1e9)),
        embedder=(reading := helper(embedder, "embedder")),
        reranker=(reordering := helper(reranker, "reranker") if reranker else None),
        fast=small,
        cost=prior.cost if prior else None,
        cost_source=f"{prior.model}, {prior.engine}: {prior.source}" if prior else "",
    )
    start = Start(
        _server(chosen, served, shape, wanted, made),
        _server_beside(small) if small else None,
        min(wanted.context, shape.window - ANSWER),
        "" if reading.name == "minilm" else reading.model,
        reordering.model if reordering else "",
    )
    planned = Planned(served, shape, wanted, made, _variables(start, made, needed=env is not None))
    if as_json:
        print_json(planned)
    else:
        _print(planned)
    if made.fits and env:
        err.print(f"{literal(str(env))} is written; {write(env, planned.env)}.")
    if not made.fits:
        raise typer.Exit(1)


def _shape(chosen: Preset | None, model: str, weights_gib: float | None) -> ModelShape:
    config = dict(chosen.config if chosen else configurations.configuration(model))
    if weights_gib is None:
        return configurations.shape_of(config)
    taken = round(weights_gib * GIB)
    shape = configurations.shape_of({k: v for k, v in config.items() if k != "quantization_config"})
    return replace(shape, weight_bytes=taken, active_bytes=taken * shape.active // shape.parameters)


def _variables(start: Start, made: Plan, *, needed: bool) -> Mapping[str, str]:
    """None where it does not fit, or, unless they are ``needed``, where it can be started in no one way."""
    try:
        return variables(start) if made.fits else {}
    except BadRequest:
        if needed:
            raise
        return {}


def _server(chosen: Preset | None, served: str, shape: ModelShape, wanted: Wanted, made: Plan) -> Server:
    flags = _flags(chosen, wanted.kv_number_bytes)
    return Server(served, min(shape.window, wanted.context + ANSWER), made.kv_bytes, flags)


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


def _list() -> None:
    table = Table("preset", "model", "for", "licence", box=None, pad_edge=False)
    for one in PRESETS:
        table.add_row(one.name, one.model, one.title, one.licence)
    out.table(table)
    table = Table("beside it", "", "model", "for", "licence", box=None, pad_edge=False)
    for other in HELPERS:
        table.add_row(other.name, other.job, other.model, other.why, other.licence)
    out.print()
    out.table(table)
    out.print("\nopenbook models NAME tells how one is served and why; openbook plan what fits beside it.")


def _tell(one: Preset) -> None:
    out.print(f"{one.name}: {one.model}, {one.licence}\n{one.title}.\n")
    for why in one.why:
        out.print(literal(f"- {why}"))
    out.print(literal("\nvllm serve " + " ".join((one.model, *one.flags))))
    out.print(literal("\n" + "\n".join(one.sources)))


def _print(planned: Planned) -> None:
    made, wanted = planned.plan, planned.wanted
    out.print(literal(f"{planned.model} on {made.machine}, {made.memory / 1e9:.0f} GB of memory\n"))
    table = Table("", "GiB", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for item in made.items:
        table.add_row(item.what, f"{item.bytes / GIB:.1f}", item.by)
    per = f"{made.kv_bytes_per_token:,} bytes a token"
    table.add_row(
        "KV cache", f"{made.kv_bytes / GIB:.1f}", f"{made.resident_tokens:,} tokens stay cached; {per}"
    )
    out.table(table)
    out.print(
        f"\n{'needed at a time':18}{made.needed_bytes / GIB:.1f} GiB of it: {wanted.users} x {wanted.context:,} tokens"
    )
    out.print(f"{'disk':18}{made.disk_bytes / GIB:.1f} GiB for {wanted.passages:,} passages")
    for line in _speeds(made.speed, wanted.context):
        out.print(literal(line))
    if planned.shape.hybrid:
        out.print(
            "\nIts recurrent layers let a beginning be reused at checkpoints only: openbook eval prefill measures it."
        )
    for problem in made.problems:
        err.print(f"[red]does not fit:[/red] {literal(problem)}")


def _speeds(speed: Speed, context: int) -> list[str]:
    lines = [
        f"{'first token':18}nothing is published of this model on a Spark: openbook calibrate measures it"
    ]
    if speed.cold_s is not None and speed.warm_s is not None and speed.disk_s is not None:
        beyond = (
            f"; published up to {speed.longest:,} tokens, beyond that a guess"
            if context > speed.longest
            else ""
        )
        lines = [
            f"{'first token':18}{speed.cold_s:.1f} s for {context:,} new tokens, {speed.warm_s:.1f} s where 99 % are "
            f"cached, {speed.disk_s:.1f} s from the disk tier",
            f"{'':18}after {speed.source}{beyond}",
        ]
    return [
        *lines,
        f"{'answer':18}{speed.tokens_per_s:.0f} tokens a second behind such a context, by the memory's speed",
        f"{'ingesting':18}{speed.ingest_s / 60:.0f} min of embedding, by the GPU's arithmetic",
    ]
