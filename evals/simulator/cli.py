"""``openbook simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag import priors
from rag.errors import BadRequest
from rag.prefix_cache import PrefixCache
from rag.settings import beside_environment
from rag.terminal import err, out


def simulate(
    preset: Annotated[
        str, typer.Option(help="Whose published prefill times: a model's name, or list.")
    ] = "Qwen3.6-35B-A3B",
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to bind.")] = 8090,
    capacity_tokens: Annotated[int, typer.Option(min=1, help="What the prefix cache holds.")] = 1_000_000,
    block_size: Annotated[int, typer.Option(min=1, help="Tokens of a block of the prefix cache.")] = 16,
    window: Annotated[int, typer.Option(min=2, help="Longest prompt and answer together.")] = 131_072,
    max_batched_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens computed in a step, as vLLM's --max-num-batched-tokens.")
    ] = 8192,
    async_scheduling: Annotated[
        bool,
        typer.Option(help="Schedule a step before the last one's tokens are seen, as vLLM does on a GPU."),
    ] = True,
    tokens_per_second: Annotated[float, typer.Option(min=0.001, help="Of an answer that is written.")] = 50.0,
    speed: Annotated[float, typer.Option(min=0.001, help="Simulated seconds in a second.")] = 1.0,
    model: Annotated[
        Path | None, typer.Option(help="A folder with tokenizer and chat template; by default SmolLM2's.")
    ] = None,
) -> None:
    """Run a server that answers as vLLM does in the time that a published machine takes; docs/simulator.md."""
    if preset == "list":
        for each in priors.PRIORS:
            out.print(f"{each.model} ({each.engine})", markup=False)
        return
    prior = priors.find(preset)
    if prior is None:
        raise BadRequest(f"There is no preset {preset}.", "openbook simulate --preset list shows them.")
    if capacity_tokens < window:
        raise BadRequest(
            f"A cache of {capacity_tokens} tokens cannot hold a prompt of {window}.",
            "Raise --capacity-tokens or lower --window.",
        )
    from evals.simulator.engine import Engine
    from evals.simulator.model import Model
    from evals.simulator.server import Simulator, serve  # the web framework is loaded by this command only

    blocks = -(-capacity_tokens // block_size) + 1  # vLLM keeps one as a placeholder
    cache = PrefixCache(block_size, blocks)
    engine = Engine(
        cache,
        prior.cost,
        1 / tokens_per_second,
        max_batched_tokens=max_batched_tokens,
        async_scheduling=async_scheduling,
    )
    tokenizer = Model(model or beside_environment(".models") / "SmolLM2-135M-Instruct")
    said = f"{prior.model} on one Spark, after {prior.source}: {{url}}/v1 until Ctrl-C"
    serve(
        Simulator(engine, tokenizer, prior.name, window, speed),
        host,
        port,
        lambda url: err.print(said.format(url=url), markup=False),
    )
