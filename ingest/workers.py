"""Reading files in worker processes, so that a parser that hangs, crashes or eats memory costs its file only.

`Workers` is what a run uses. `InProcess` does the same work in the caller's thread, without the limits.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ingest import worker_start
from ingest.containers import unpack as containers
from ingest.containers.unpack import Budget, Inner, Refused
from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.passages import Tile, tile
from rag.errors import SourceCorrupt, SourceCrash, SourceError, SourceOverLimit
from rag.types import Span

if TYPE_CHECKING:
    from pebble import ProcessFuture, ProcessPool

    from ingest.pdf.page_image import PageImage

log = logging.getLogger(__name__)
T = TypeVar("T")

TIMEOUT_S = 300.0
# Text recognition maps 2.2 GiB, of which it touches 0.9.
MEMORY_BYTES = 3 * 2**30
# A worker is replaced after so many files: libraries lose memory.
TASKS = 200
_ATTEMPTS = 3  # a file that is with a pool that breaks is tried again: another file may have broken it
# Libraries keep much of what they took: a worker with less than this part of its memory left is replaced before the
# next file, and a file for which there is too little is tried again in another.
_ROOM = 1 / 6
_FULL, _OUT_OF_MEMORY = 76, 77  # exit codes of these


@dataclass(frozen=True, slots=True)
class Read:
    """A file's text, how it is cut, and the hash of the bytes that were read. ``seconds`` of work."""

    content_hash: str
    parsed: Parsed
    tiles: tuple[Tile, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Unpacked:
    """``total`` counts the bytes that came out."""

    inner: tuple[Inner, ...]
    refused: tuple[Refused, ...]
    total: int
    seconds: float


class ParserBug(Exception):
    """A parser raised what it should not. ``trace`` is its traceback, which does not travel by itself."""

    def __init__(self, error: str, trace: str) -> None:
        super().__init__(error, trace)
        self.error, self.trace = error, trace


class Reading(Protocol):
    """Futures end with the result, a SourceError, or a ParserBug; any other RagError is to end the run."""

    @property
    def count(self) -> int:
        """How many files are read at the same time."""
        ...

    def read(self, path: Path, name: str, media_type: str, max_characters: int) -> Future[Read]: ...
    def unpack(
        self, path: Path, name: str, media_type: str, into: Path, budget: Budget
    ) -> Future[Unpacked]: ...
    def close(self) -> None:
        """Ends what is still being done."""
        ...


def read(path: Path, name: str, media_type: str, max_characters: int) -> Read:
    """Raises SourceError, and whatever a parser raises."""
    began = time.perf_counter()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(name, error) from error
    parsed = parse(data, name, media_type)
    tiles = tuple(tile(parsed, max_characters))
    return Read(hashlib.sha256(data).hexdigest(), parsed, tiles, time.perf_counter() - began)


def unpack(path: Path, name: str, media_type: str, into: Path, budget: Budget) -> Unpacked:
    """Raises SourceError, and whatever a library raises."""
    began = time.perf_counter()
    try:
        inner, refused, total = containers.unpack(path, media_type, into, budget, name=name)
    except OSError as error:
        raise SourceError(
            f"{name} cannot be unpacked: {error.strerror}.",
            "Check its permissions, and the space on the disk.",
        ) from error
    return Unpacked(tuple(inner), tuple(refused), total, time.perf_counter() - began)


def draw(path: Path, _name: str, number: int, text: str, span: Span) -> PageImage:
    """Raises SourceError, and whatever a library raises."""
    from ingest.pdf.page_image import page_image

    return page_image(path, number, text, span)


def unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(
        f"{name} cannot be read: {error.strerror}.", "Check that it is there and its permissions."
    )


class InProcess:
    """Done when the call returns."""

    count = 1

    def read(self, path: Path, name: str, media_type: str, max_characters: int) -> Future[Read]:
        return _done(lambda: _guarded(read, path, name, media_type, max_characters))

    def unpack(self, path: Path, name: str, media_type: str, into: Path, budget: Budget) -> Future[Unpacked]:
        return _done(lambda: _guarded(unpack, path, name, media_type, into, budget))

    def close(self) -> None: ...


class Workers:
    """Processes that are started with the first file and replaced now and then. Safe to use from threads.

    ``timeout_s`` for one file; ``memory_bytes`` beyond what a worker has at its start. Temporary files of theirs lie
    below ``scratch``, by default where the system has them: a worker that is ended leaves its own. None of them, and
    nothing that they started, outlives this process, however it ends.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = MEMORY_BYTES,
        scratch: Path | None = None,
    ) -> None:
        self.count = count or min(4, _cores())
        self._timeout_s, self._memory_bytes, self._scratch = timeout_s, memory_bytes, scratch
        self._pool: ProcessPool | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Future[Any], str]] = {}

    def read(self, path: Path, name: str, media_type: str, max_characters: int) -> Future[Read]:
        return self._run(name, read, path, name, media_type, max_characters)

    def unpack(self, path: Path, name: str, media_type: str, into: Path, budget: Budget) -> Future[Unpacked]:
        return self._run(name, unpack, path, name, media_type, into, budget)

    def draw(self, path: Path, number: int, text: str, span: Span) -> Future[PageImage]:
        """A page of a PDF."""
        return self._run(path.name, draw, path, path.name, number, text, span)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._pool is not None:
                _end(self._pool)
                self._pool = None
        for outcome, name in list(self._open.values()):  # the pool forgets them
            fail(outcome, ended(name, "closed"))

    def _run(self, name: str, task: Callable[..., T], *arguments: object) -> Future[T]:
        outcome: Future[T] = Future()
        self._open[id(outcome)] = (outcome, name)
        outcome.add_done_callback(lambda done: self._open.pop(id(done), None))

        def attempt(left: int) -> None:
            def finished(inner: Future[T]) -> None:
                error = None if inner.cancelled() else inner.exception()
                ended = getattr(error, "exitcode", None)
                if ended == _FULL and not self._closed:
                    attempt(left)
                elif _may_pass(error, ended) and left and not self._closed:
                    attempt(left - 1)
                elif inner.cancelled() or error is not None:
                    fail(outcome, self._told(name, error))
                else:
                    with suppress(InvalidStateError):
                        outcome.set_result(inner.result())

            try:
                self._schedule(task, arguments).add_done_callback(finished)
            except (BrokenProcessPool, RuntimeError, OSError) as error:
                fail(outcome, self._told(name, error))

        attempt(_ATTEMPTS - 1)
        return outcome

    def _schedule(self, task: Callable[..., T], arguments: tuple[object, ...]) -> ProcessFuture[T]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the workers are closed")
            if self._pool is None or not self._pool.active:
                broken, self._pool = self._pool, self._started()
                if broken is not None:  # not in this thread, which may be one of the pool's own
                    threading.Thread(target=_end, args=(broken,), daemon=True).start()
            needed = int(self._memory_bytes * _ROOM)
            return self._pool.schedule(_in_worker, args=(needed, task, *arguments), timeout=self._timeout_s)

    def _started(self) -> ProcessPool:
        from pebble import CONSTS, ProcessPool

        CONSTS.term_timeout = 1.0  # seconds between asking a worker to end and ending it
        pool = ProcessPool(
            max_workers=self.count,
            max_tasks=TASKS,
            initializer=worker_start.begin,
            initargs=(self._memory_bytes, self._scratch),
            context=worker_start.context(__name__),
        )
        with worker_start.deaf_and_safe():
            pool.schedule(os.getpid)  # starts it, in this thread
        return pool

    def _told(self, name: str, error: BaseException | None) -> BaseException:
        from pebble import ProcessExpired

        if isinstance(error, TimeoutError):
            return SourceOverLimit(
                f"{name} was not read within {self._timeout_s:g} seconds, so that was ended.",
                "Split it, or save it in another format.",
            )
        if isinstance(error, ProcessExpired) and error.exitcode == _OUT_OF_MEMORY:
            error = MemoryError()
        if isinstance(error, ProcessExpired):
            return SourceCrash(
                f"{name} made its parser crash ({_exit(error.exitcode)}).",
                "It may be damaged, or need too much memory: split it, or save it in another format.",
            )
        if isinstance(error, MemoryError):
            return SourceOverLimit(
                f"{name} needs more than {self._memory_bytes / 2**30:g} GiB of memory to be read.",
                "Split it, or save it in another format.",
            )
        if isinstance(error, (SourceError, ParserBug)):
            return error
        return ended(name, repr(error))


def ended(name: str, why: str) -> SourceCrash:
    error = SourceCrash(f"{name} was not read: the worker processes ended ({why}).", "Run the command again.")
    error.retryable = True  # it says nothing about the file
    return error


def _done(work: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    try:
        future.set_result(work())
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 -- it is handed on
        future.set_exception(error)
    return future


def _may_pass(error: BaseException | None, exit_code: int | None) -> bool:
    """Whether what went wrong says nothing about the file: others may have broken the pool, or left no memory."""
    return exit_code == _OUT_OF_MEMORY or isinstance(error, (BrokenProcessPool, RuntimeError))


_tasks = count()  # of this worker


def _in_worker(needed: int, task: Callable[..., T], path: Path, name: str, *arguments: object) -> T:
    is_first = next(_tasks) == 0
    room = worker_start.room()
    if not is_first and room is not None and room < needed:
        os._exit(_FULL)
    try:
        return _guarded(task, path, name, *arguments)
    except MemoryError:
        if is_first:
            raise
        os._exit(_OUT_OF_MEMORY)


def _guarded(task: Callable[..., T], path: Path, name: str, *arguments: object) -> T:
    """In the worker. What goes back must be an error that can be sent."""
    try:
        return task(path, name, *arguments)
    except (SourceError, MemoryError):
        raise
    except RecursionError as error:
        raise SourceCorrupt(
            f"{name} is nested too deeply to be read.", "Save it in another format, or split it."
        ) from error
    except Exception as error:  # noqa: BLE001 -- it is handed on
        raise ParserBug(repr(error), traceback.format_exc()) from None


def fail(outcome: Future[Any], error: BaseException) -> None:
    with suppress(InvalidStateError):  # told already
        outcome.set_exception(error)


def _end(pool: ProcessPool) -> None:
    # The pool lets go of its locks, which unlinks them, before it ends its workers. One that is still starting would
    # not find them, and say so on the terminal: they are held here until all have ended.
    channel = pool._pool_manager.worker_manager.workers_channel
    held = channel and (channel.mutex.reader_mutex, channel.mutex.writer_mutex)
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()
    del held


def _exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
