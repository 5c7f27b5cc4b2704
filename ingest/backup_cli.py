"""``openbook backup``, ``restore`` and ``export``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ingest.backup.export import KINDS, export
from ingest.backup.restore import Restored
from ingest.backup.restore import restore as restored
from ingest.backup.snapshot import BackedUp, back_up
from rag.compose import embedder_of, open_store
from rag.owner import claim
from rag.ports import Embedder, Store
from rag.remote import find_service
from rag.settings import Settings, load_settings
from rag.terminal import CollectionOption, JsonOption, err, literal, out, print_json


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="By default openbook-DATE.tar in this folder.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write collections, conversations, jobs, uploads, keys and settings to one file, also while the service runs."""
    settings = load_settings()
    path = (file or Path(f"openbook-{datetime.now():%Y%m%d-%H%M%S}.tar")).absolute()
    with err.status("backing up", spinner="dots"):
        if service := find_service(settings.data_dir):
            done = service.call("POST", "/v1/backup", BackedUp, json={"path": str(path)})
        else:
            with _opened(settings, "openbook backup") as (store, embedder):
                done = back_up(settings.data_dir, store, embedder.name, embedder.dimension, path)
    if as_json:
        print_json(done)
        return
    _print_collections(done)
    out.print(
        literal(f"{done.path}: {done.bytes / 2**20:,.1f} MiB, {done.files} files beside the collections")
    )


def restore(
    file: Annotated[Path, typer.Argument(help="What openbook backup wrote.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Bring a backup into an empty data folder or store, after all of it has been checked. Nothing is replaced."""
    settings = load_settings()
    with (
        err.status("restoring", spinner="dots"),
        _opened(settings, "openbook restore") as (store, embedder),
    ):
        done = restored(settings.data_dir, store, embedder.name, embedder.dimension, file)
    if as_json:
        print_json(done)
        return
    _print_collections(done)
    out.print(
        literal(f"as of {done.created}, {done.files} files beside the collections, in {settings.data_dir}")
    )


def export_command(
    file: Annotated[
        Path, typer.Argument(help=f"Its ending says the kind: {', '.join(KINDS)}.", show_default=False)
    ],
    collection: CollectionOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Write a collection's passages, with places and vectors, for other programs. The service must not be running."""
    settings = load_settings()
    with (
        err.status("exporting", spinner="dots"),
        _opened(settings, "openbook export") as (store, _embedder),
    ):
        passages = export(store.open(collection, any_embedder=True), file)
    if as_json:
        print_json({"file": str(file), "passages": passages})
    else:
        out.print(literal(f"{file}: {passages:,} passages"))


@contextmanager
def _opened(settings: Settings, doing: str) -> Iterator[tuple[Store, Embedder]]:
    """The store alone: neither model is needed."""
    with claim(settings.data_dir, doing):
        embedder = embedder_of(settings)
        store = open_store(settings, embedder)
        try:
            yield store, embedder
        finally:
            store.close()


def _print_collections(done: BackedUp | Restored) -> None:
    for name, counted in done.collections.items():
        out.print(literal(f"{name}: {counted.documents:,} documents, {counted.passages:,} passages"))
