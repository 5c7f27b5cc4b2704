"""A collection renamed while the service runs: no upload and no job may mean the old name meanwhile."""

from __future__ import annotations

from ingest.jobs import Jobs
from ingest.uploads import Uploads
from rag.answer import Rag
from rag.errors import CollectionBusy
from rag.renaming import rename


def renamed(rag: Rag, uploads: Uploads, jobs: Jobs, old: str, new: str) -> None:
    """As rag/renaming.py has it. Raises CollectionBusy, too."""
    with uploads.held(), jobs.held():  # in the order in which an upload queues its job
        if any({old, new} & {job.collection} for job in jobs.pending()):
            raise CollectionBusy.of(old)
        rename(rag.store, rag.collection_settings, old, new)
    rag.usual.rename(old, new)
