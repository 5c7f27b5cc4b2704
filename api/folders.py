"""Which files of this machine a request may have ingested."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from fastapi import Request

from api.caller import Caller
from api.schemas import IngestRequest
from ingest.pipeline import check_there
from ingest.roots import Roots
from ingest.run import Run
from rag.errors import BadRequest


def allowed(caller: Caller, request: Request) -> tuple[str, ...] | None:
    """Folders of this machine that may be ingested; None: all that the owner of the data folder can read."""
    return tuple(map(str, request.state.roots)) if caller.key else None


async def asked_for(body: IngestRequest, within: tuple[str, ...] | None) -> Run:
    """Raises BadRequest for one that is relative, PathNotAllowed, SourceMissing for one that is not there."""
    paths = [Path(path) for path in body.paths]
    for path in (*paths, *map(Path, body.changed or ())):
        if not path.is_absolute():
            raise BadRequest(f"{path} is not an absolute path.", "Send absolute paths.")
    asked = None if body.within is None else tuple(body.within)
    within = await asyncio.to_thread(_both, within, asked)
    await asyncio.to_thread(check_paths, paths, within)
    changed = None if body.changed is None else tuple(body.changed)
    return Run(
        body.collection,
        tuple(body.paths),
        body.prune,
        body.retry,
        changed,
        body.dry,
        body.explicit,
        body.ref,
        body.all_files,
        body.refresh,
        within,
    )


def _both(allowed: tuple[str, ...] | None, asked: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Folders that are within those of each."""
    if allowed is None or asked is None:
        return asked if allowed is None else allowed
    roots = Roots(tuple(map(Path, allowed)))
    return tuple(folder for folder in asked if roots.admits(Path(os.path.realpath(folder))))


def check_paths(paths: Sequence[Path], within: Sequence[str] | None) -> None:
    """Whether they may be read, and only then whether they are there."""
    if (roots := Roots.of(within)) is not None:
        for path in paths:
            roots.check(path)
    check_there(paths)
