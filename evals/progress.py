"""A bar on standard error for what takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rag.terminal import err, literal

Done = Callable[[int], None]  # so many more are done
Begin = Callable[[str, int], Done]  # what is being done, and of how many


@contextmanager
def bars() -> Iterator[Begin]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:

        def begin(what: str, total: int) -> Done:
            task = progress.add_task(literal(what), total=total)
            return lambda count: progress.advance(task, count)

        yield begin
