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
from watchfiles import Change, DefaultFilter
from watchfiles import watch as changes_of

from ingest.cli import PathsArgument, counted, perform, print_notable, progress_bar
from ingest.pipeline import check_there
from ingest.report import Report
from ingest.repository.git import Git, containing
from ingest.run import Run
from rag import wire
from rag.errors import DataFolderInUse, RepositoryUnreadable, ServiceUnreachable, StoreUnavailable
from rag.settings import load_settings
from rag.terminal import CollectionOption, out, print_error

# What editors, office programs and downloads write beside a file while they are at it. A file that is moved from
# such a name to its own has changed under its own.
TEMPORARY = (
    r"^\.~lock\.",
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
    """Leaves out temporary files, beside what DefaultFilter does: the folders of tools, git's own among them, editors'
    swap files. Hidden ones too, and in repositories what is ignored there instead."""

    def __init__(self, repositories: Sequence[Git] = ()) -> None:
        patterns = (*DefaultFilter.ignore_entity_patterns, *TEMPORARY)
        super().__init__(ignore_entity_patterns=patterns)
        self._repositories = repositories

    def __call__(self, change: Change, path: str) -> bool:
        if not super().__call__(change, path):
            return False
        for git in self._repositories:
            if Path(path).is_relative_to(git.root):
                return not git.is_ignored(Path(path).relative_to(git.root).as_posix())
        return not Path(path).name.startswith(".")


def watch(paths: PathsArgument, collection: CollectionOption = "default", as_json: Annotated[
    bool, typer.Option("--json", help="Print a report as one line of JSON for each burst of changes.")
] = False) -> None:  # fmt: skip
    """Keep a collection as its folders are: catch up, then follow every change, until Ctrl-C."""
    check_there(paths)
    settings = load_settings()
    roots = [path.resolve() for path in paths]
    gits = [git for root in roots if root.is_dir() and (git := containing(root))]
    follower = Follower(roots, collection, lambda run: _performed(run, quiet=as_json), gits)

    def _performed(run: Run, *, quiet: bool) -> Report:
        with progress_bar(enabled=not quiet) as show:
            return perform(settings, run, show)

    told = False
    for changed in bursts(roots, repositories=gits):
        report = follower.follow(changed)
        if report is not None and (not told or report.count("unchanged") < len(report.files)):
            _tell(report, as_json)
        if report is not None and not told and not as_json:
            told = True
            out.print(f"watching {', '.join(map(str, paths))}; Ctrl-C ends it", markup=False)


def bursts(
    roots: Sequence[Path],
    stop: threading.Event | None = None,
    settle_ms: int = SETTLE_MS,
    repositories: Sequence[Git] = (),
) -> Iterator[frozenset[Path]]:
    """What changed below ``roots``, a burst at a time, and an empty set whenever a second passes without one.

    The first comes when watching has begun: a look at the folders then misses nothing. Raises KeyboardInterrupt.
    """
    for changes in changes_of(
        *roots,
        watch_filter=Wanted(repositories),
        debounce=LONGEST_MS,
        step=settle_ms,
        stop_event=stop,
        rust_timeout=1000,
        yield_on_timeout=True,
    ):
        yield frozenset(Path(path) for _, path in changes)


class Follower:
    """Brings a collection up to date: wholly at first, then with what changed, be it only the commit that is checked
    out. What cannot be done now (the data folder is in use) is kept and tried again."""

    def __init__(
        self,
        roots: Sequence[Path],
        collection: str,
        perform: Callable[[Run], Report],
        repositories: Sequence[Git] = (),
    ) -> None:
        self._roots, self._collection, self._perform = roots, collection, perform
        self._repositories, self._tips = repositories, [""] * len(repositories)
        self._pending: set[Path] = set()
        self._caught_up = False
        self._again_at = 0.0

    def follow(self, changed: frozenset[Path]) -> Report | None:
        """None where nothing was to do, or nothing could be done now."""
        self._pending |= changed
        tips = [self._tip(at) for at in range(len(self._repositories))]
        nothing_new = self._caught_up and not self._pending and tips == self._tips
        if nothing_new or time.monotonic() < self._again_at:
            return None
        try:
            report = self._perform(self._run())
        except NOT_NOW as error:
            print_error(error)
            self._again_at = time.monotonic() + RETRY_S
            return None
        self._caught_up, self._tips = True, tips
        self._pending.clear()
        return report

    def _tip(self, at: int) -> str:
        try:
            return self._repositories[at].tip()
        except RepositoryUnreadable:  # git is at work on it
            return self._tips[at]

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
