"""A collection's passages with their vectors, for other programs: JSON lines, or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.backup.snapshot import whole
from rag.errors import BadRequest
from rag.ports import Index, Write

KINDS = (".jsonl", ".parquet")
_TEXT = ("id", "document_id", "source", "title", "media_type", "language", "code", "text", "sheet")
_NUMBERS = ("ordinal", "start", "line", "tokens", "page")


def export(index: Index, path: Path) -> int:
    """How many passages were written. Blocks. Raises BadRequest for a file of another kind, or one that cannot be
    written, then there is no file."""
    if path.suffix not in KINDS:
        raise BadRequest(f"{path.name} names no kind of file.", f"Let it end in one of: {', '.join(KINDS)}.")
    part = path.with_name(path.name + ".part")
    try:
        count = (_json_lines if path.suffix == ".jsonl" else _parquet)(_documents(index), part)
        part.replace(path)
        return count
    except OSError as error:
        raise BadRequest(
            f"{path} cannot be written: {error}", "Name a file in a folder that you can write."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _documents(index: Index) -> Iterator[list[dict[str, Any]]]:
    for document in index.documents():
        if write := whole(index, document):
            yield list(_rows(write))


def _rows(write: Write) -> Iterator[dict[str, Any]]:
    """Offsets in characters, lines and pages from 1."""
    document = write.document
    of = {name: getattr(document, name) for name in ("source", "title", "media_type", "language", "code")}
    for passage, vector in zip(write.passages, write.vectors, strict=True):
        own = {name: getattr(passage, name) for name in ("id", "document_id", "text", "sheet", *_NUMBERS)}
        yield {**of, **own, "section": list(passage.section), "vector": vector.tolist()}


def _json_lines(documents: Iterator[list[dict[str, Any]]], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for rows in documents:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            count += len(rows)
    return count


def _parquet(documents: Iterator[list[dict[str, Any]]], path: Path) -> int:
    # Imported where it is used: it takes longer than all of this.
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            *((name, pa.string()) for name in _TEXT),
            *((name, pa.int64()) for name in _NUMBERS),
            ("section", pa.list_(pa.string())),
            ("vector", pa.list_(pa.float32())),
        ]
    )
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in documents:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count
