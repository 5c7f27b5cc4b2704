"""``openbook watch``: keep a collection as its folders are."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from watchfiles import DefaultFilter
from watchfiles import watch as changes_of

from ingest.cli import PathsArgument, counted, perform, print_notable, progress_bar
from ingest.pipeline import check_there
from ingest.report import Report
from ingest.run import Run
from rag import wire
from rag.errors import DataFolderInUse, ServiceUnreachable, StoreUnavailable
from rag.settings import load_settings
from rag.terminal import CollectionOption, out, print_error

# What editors, office programs and downloads write beside a file while they are at it. A file that is moved from
# such a name to its own has changed under its own. Hidden files are not read anyway.
TEMPORARY = (
    r"^\.",
    r"^~\$",
    r"^4913$",
    r"^#.*#$",
    r"\.(?:tmp|temp|part|partial|crdownload|download|swx)$",
)
SETTLE_MS = 800  # without a further change for so long, a burst is over
LONGEST_MS = 5000  # a longer burst is handled in parts
RETRY_S = 5.0  # between two attempts while the data folder is in use or the service is away

NOT_NOW = (DataFolderInUse, ServiceUnreachable, StoreUnavailable)


class Wanted(DefaultFilter):
    """Leaves out temporary files, beside what DefaultFilter does: the folders of tools, editors' swap files."""

    ignore_entity_patterns = (*DefaultFilter.ignore_entity_patterns, *TEMPORARY)


def watch(paths: PathsArgument, collection: CollectionOption = "default", as_json: Annotated[
    bool, typer.Option("--json", help="Print a report as one line of JSON for each burst of changes.")
] = False) -> None:  # fmt: skip
    """Keep a collection as its folders are: catch up, then follow every change, until Ctrl-C."""
    check_there(paths)
    settings = load_settings()
    roots = [path.resolve() for path in paths]
    follower = Follower(roots, collection, lambda run: _performed(run, quiet=as_json))

    def _performed(run: Run, *, quiet: bool) -> Report:
        with progress_bar(enabled=not quiet) as show:
            return perform(settings, run, show)

    told = False
    for changed in bursts(roots):
        report = follower.follow(changed)
        if report is not None and (report.files or not told):
            _tell(report, as_json)
        if report is not None and not told and not as_json:
            told = True
            out.print(f"watching {', '.join(map(str, paths))}; Ctrl-C ends it", markup=False)


def bursts(
    roots: Sequence[Path], stop: threading.Event | None = None, settle_ms: int = SETTLE_MS
) -> Iterator[frozenset[Path]]:
    """What changed below ``roots``, a burst at a time, and an empty set whenever a second passes without one.

    The first comes when watching has begun: a look at the folders then misses nothing. Raises KeyboardInterrupt.
    """
    for changes in changes_of(
        *roots,
        watch_filter=Wanted(),
        debounce=LONGEST_MS,
        step=settle_ms,
        stop_event=stop,
        rust_timeout=1000,
        yield_on_timeout=True,
    ):
        yield frozenset(Path(path) for _, path in changes)


class Follower:
    """Brings a collection up to date: wholly at first, then with what changed. What cannot be done now (the data
    folder is in use) is kept and tried again."""

    def __init__(self, roots: Sequence[Path], collection: str, perform: Callable[[Run], Report]) -> None:
        self._roots, self._collection, self._perform = roots, collection, perform
        self._pending: set[Path] = set()
        self._caught_up = False
        self._again_at = 0.0

    def follow(self, changed: frozenset[Path]) -> Report | None:
        """None where nothing was to do, or nothing could be done now."""
        self._pending |= changed
        if (self._caught_up and not self._pending) or time.monotonic() < self._again_at:
            return None
        try:
            report = self._perform(self._run())
        except NOT_NOW as error:
            print_error(error)
            self._again_at = time.monotonic() + RETRY_S
            return None
        self._caught_up = True
        self._pending.clear()
        return report

    def _run(self) -> Run:
        roots = tuple(map(str, self._roots))
        changed = tuple(map(str, sorted(self._pending))) if self._caught_up else None
        return Run(self._collection, roots, prune=True, changed=changed)


def _tell(report: Report, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(wire.dump(report)) + "\n")
        sys.stdout.flush()
        return
    out.print(
        f"{datetime.now():%H:%M:%S} {counted(report)}, {report.seconds.get('total', 0):.1f} s", markup=False
    )
    print_notable(report.files)
