"""``openbook models`` and ``openbook plan``: which model to serve, and what fits beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api.plan_env import write
from api.planning import PACKAGED, Asked, Planned, planned
from rag.sizing.plan import GIB, Plan, Speed
from rag.sizing.presets import HELPERS, PRESETS, Helper, Preset, preset
from rag.terminal import JsonOption, err, literal, out, print_json

_FEWEST = 1024


@dataclass(frozen=True, slots=True)
class Listed:
    presets: tuple[Preset, ...]
    helpers: tuple[Helper, ...]


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
    embedder: Annotated[str, typer.Option(help="One of openbook models.")] = PACKAGED,
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
    asked = Asked(
        preset=name,
        model=model,
        context=context,
        users=users,
        passages=passages,
        embedder=embedder,
        reranker=reranker,
        kv_gib=kv_gib,
        kv_bits=kv_bits,
        weights_gib=weights_gib,
        fast=fast,
        fast_kv_gib=fast_kv_gib,
        memory_gb=memory_gb,
    )
    with err.status("looking at the model", spinner="dots"):  # transformers takes seconds to import
        found = planned(asked, needs_env=env is not None)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found.plan.fits:
        raise typer.Exit(1)
    if env:
        err.print(f"{literal(str(env))} is written; {write(env, found.env)}.")


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


def _print(found: Planned) -> None:
    made = found.plan
    out.print(literal(f"{found.model} on {made.machine}, {made.memory / 1e9:.0f} GB of memory\n"))
    out.table(_table(made))
    for line in _lines(found):
        out.print(literal(line))
    for problem in made.problems:
        err.print(f"[red]does not fit:[/red] {literal(problem)}")


def _table(made: Plan) -> Table:
    table = Table("", "GiB", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for item in made.items:
        table.add_row(item.what, f"{item.bytes / GIB:.1f}", item.by)
    per = f"{made.kv_bytes_per_token:,} bytes a token"
    table.add_row(
        "KV cache", f"{made.kv_bytes / GIB:.1f}", f"{made.resident_tokens:,} tokens stay cached; {per}"
    )
    return table


def _lines(found: Planned) -> list[str]:
    made, wanted = found.plan, found.wanted
    needed = f"{made.needed_bytes / GIB:.1f} GiB of it: {wanted.users} x {wanted.context:,} tokens"
    hybrid = "\nIts recurrent layers let a beginning be reused at checkpoints only: openbook eval prefill measures it."
    return [
        f"\n{'needed at a time':18}{needed}",
        f"{'disk':18}{made.disk_bytes / GIB:.1f} GiB for {wanted.passages:,} passages",
        *_speeds(made.speed, wanted.context),
        *([hybrid] if found.shape.hybrid else []),
    ]


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
