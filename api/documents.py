"""Single documents of a collection as REST shows and changes them."""

from __future__ import annotations

import uuid

from fastapi.responses import FileResponse

from ingest.originals import original
from ingest.uploads import Sent, Uploads
from rag.answer import Rag
from rag.errors import DocumentNotFound, NotReplaceable, OriginalNotFound, OutOfDate
from rag.reading import read
from rag.types import Document

# What a browser may show by itself: it runs nothing, or runs it in a viewer of its own.
SHOWN = frozenset({"application/pdf", "image/gif", "image/jpeg", "image/png", "image/webp", "text/plain"})


def document(rag: Rag, collection: str, id_: str) -> Document:
    """Raises CollectionNotFound and DocumentNotFound."""
    found = read(rag.store, [collection], lambda index: index.documents([id_]) if is_id(id_) else [])
    if not found:
        raise DocumentNotFound.of(id_, collection)
    return found[0]


def is_id(text: str) -> bool:
    """Of any other text a store says that it is no id."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def sent_as(uploads: Uploads, wanted: Document) -> Sent:
    """The uploaded file that the document is. Raises NotReplaceable."""
    if file := _sent(uploads, wanted):
        return file
    raise NotReplaceable(
        f"Document {wanted.name!r} is not an uploaded file of its own.",
        "Change its file where it lies and ingest that again, or upload the archive that it is in.",
    )


def _sent(uploads: Uploads, wanted: Document) -> Sent | None:
    return next((file for file in uploads.sent(wanted.collection) if file.source == wanted.source), None)


def check_as_read(uploads: Uploads, wanted: Document, expected: str) -> None:
    """Raises OutOfDate where ``expected`` (If-Match) names what was read of an uploaded file, and another one has come
    in its place, which the catalog does not tell before that is read."""
    if expected.strip() in ("", "*") or not _sent(uploads, wanted):
        return
    try:
        original(wanted)
    except OriginalNotFound as error:
        raise OutOfDate(
            f"The file of document {wanted.name!r} was replaced, and what came is not in the index.",
            "Wait for its job and send the document's new ETag; where the job failed, send the file without If-Match.",
        ) from error


def original_of(wanted: Document, *, inline: bool) -> FileResponse:
    """The file's bytes, or a range of them. Raises OriginalNotFound."""
    file = original(wanted)
    shown = inline and wanted.media_type in SHOWN
    safe = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "ETag": f'"{wanted.content_hash[:32]}"',
        "Cache-Control": "private, no-cache",
    }
    return FileResponse(
        file.path,
        headers=safe,
        media_type=wanted.media_type,
        filename=file.name,
        stat_result=file.status,
        content_disposition_type="inline" if shown else "attachment",
    )
