"""The REST path of backups."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter

from api.routes import EngineOf, problems_of
from api.rules import owners
from api.schemas import BackupRequest
from ingest.backup.snapshot import BackedUp, back_up
from rag.errors import BadRequest

router = APIRouter()


@router.post(
    "/v1/backup",
    responses=problems_of(403, 409, 422, 503, 507),
    summary="Write everything to one file of the service's machine",
)
@owners
async def backup(body: BackupRequest, engine: EngineOf) -> BackedUp:
    path = Path(body.path)
    if not path.is_absolute():
        raise BadRequest(f"{path} is not an absolute path.", "Send an absolute path.")
    rag = engine.rag
    embedder = rag.embedder
    return await asyncio.to_thread(
        back_up, engine.owner.folder, rag.store, embedder.name, embedder.dimension, path
    )
