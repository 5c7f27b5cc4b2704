"""``openbook target``: the time in which answers from a collection begin."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from api import targets
from api.replies import Target
from rag.collection_settings import MOST_TARGET_MS
from rag.compose import open_rag
from rag.errors import BadRequest
from rag.remote import find_service
from rag.settings import Settings, load_settings
from rag.terminal import JsonOption, out, print_json

TargetOption = Annotated[
    int | None,
    typer.Option(
        "--target-ms",
        min=1,
        max=MOST_TARGET_MS,
        help="Milliseconds in which the answer begins: so much is read as that affords.",
    ),
]


def target(
    collection: Annotated[str, typer.Argument(help="The collection.")],
    ms: Annotated[
        int | None,
        typer.Argument(min=1, max=MOST_TARGET_MS, help="Milliseconds; without any, it is shown."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Take it back.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set the time in which answers from a collection begin: so much is read as that affords."""
    if none and ms is not None:
        raise BadRequest("Both a target and --none were given.", "Give one of them.")
    change = none or ms is not None
    settings = load_settings()
    if service := find_service(settings.data_dir):
        now = (
            service.call("PUT", "/v1/target", Target, json={"collection": collection, "target_ttft_ms": ms})
            if change
            else service.call("GET", "/v1/target", Target, params={"collection": collection})
        )
    else:
        now = asyncio.run(_local_target(settings, collection, ms, change))
    if as_json:
        print_json(now)
        return
    told = f"{now.target_ttft_ms:,} ms to the first token" if now.target_ttft_ms else "no target"
    out.print(f"{now.collection}: {told}", markup=False)


async def _local_target(settings: Settings, collection: str, ms: int | None, change: bool) -> Target:
    async with open_rag(settings, "openbook target") as engine:
        if change:
            return targets.set_target(engine.rag, collection, ms)
        return targets.target(engine.rag, collection)
