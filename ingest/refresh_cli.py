"""``openbook refresh``: bring what was read of repositories to the present commit, or to another."""

from __future__ import annotations

import typer

from ingest.cli import RefOption, perform, print_report, progress_bar
from ingest.run import Run
from rag.settings import load_settings
from rag.terminal import CollectionOption, JsonOption, print_json


def refresh(
    collection: CollectionOption = "default", ref: RefOption = None, as_json: JsonOption = False
) -> None:
    """Bring a collection's repositories to their present commit, or to another. Only what changed is looked at."""
    run = Run(collection, (), ref=ref, refresh=True)
    with progress_bar(enabled=not as_json) as show:
        report = perform(load_settings(), run, show)
    if as_json:
        print_json(report)
    else:
        print_report(report)
    if report.failed:
        raise typer.Exit(1)
