"""Reading and embedding on the machines of a Ray cluster. The process that has the store gives out the work and writes.

The one module that imports Ray, which is an optional extra. Files travel as bytes, so that nothing need be shared. Ray
does again elsewhere what a worker or a machine did not finish; a file has one result, however often it was begun.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import chdir, closing, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ingest import ray_worker
from ingest.absence import Absence
from ingest.containers.unpack import Budget
from ingest.ray_address import look_for
from ingest.ray_worker import Embedding
from ingest.workers import ParserBug, Read, Unpacked, Workers, ended, fail, unreadable
from rag.errors import BadSetting, ClusterUnavailable, RagError
from rag.ports import Embedder, Vectors

log = logging.getLogger(__name__)

RETRIES = 3  # of what a worker or a machine took with it
_CHECK_S = 60.0
_AWAY_S = 120.0  # in which Ray notices that a machine has gone: by default it takes 30 s
_LOOK_S = 1.0  # between two looks at whether there is a machine
_GPU = 0.01  # of one: Ray hides GPUs from an actor that asks for none
_SAMPLE = "The same model gives the same vector on every machine."
_SAME = 0.99  # cosine; between GPU and CPU it is above 0.999

ReadBytes = Callable[[bytes, str, str, int], Read | BaseException]


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    address: str
    gpus: float


@contextmanager
def joined(
    address: str, model: Callable[[], Embedder], max_characters: int, patience_s: float = math.inf
) -> Iterator[Cluster]:
    """The cluster at ``address``: auto, local (this machine alone, until it is left), HOST:PORT of a cluster that this
    machine is part of, or ray://HOST:PORT. ``model`` is sent to its machines and called there. What waits for a cluster
    without machines raises ClusterUnavailable after ``patience_s`` seconds.

    Raises BadSetting and ClusterUnavailable."""
    # Ray puts the working folder before all others on its workers' path: no folder in it may be taken for ours.
    with (
        redirect_stdout(sys.stderr),  # Ray's notices
        tempfile.TemporaryDirectory(prefix="openbook-") as empty,
    ):
        with chdir(empty):
            _join(address)
        import ray

        try:
            nodes = _nodes()
            _check(nodes, max_characters)
            with closing(Cluster(nodes, model, patience_s)) as cluster:
                yield cluster
        finally:
            ray.shutdown()


class Cluster:
    """What runs on its ``machines`` of this moment."""

    def __init__(self, nodes: Sequence[Node], model: Callable[[], Embedder], patience_s: float) -> None:
        self._nodes, self._model = nodes, model
        self.machines = len(nodes)
        self._readings: list[RayReading] = []
        self._absence = Absence(patience_s)
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="ray-machines", daemon=True)
        self._watcher.start()

    def reading(self, scratch: Path | None = None, read: ReadBytes = ray_worker.read_bytes) -> RayReading:
        self._readings.append(RayReading(scratch, read))
        return self._readings[-1]

    def embedder(self, here: Embedder) -> RayEmbedder:
        return RayEmbedder(here, self._nodes, self._model, self._absence)

    def close(self) -> None:
        self._closed.set()
        self._watcher.join(_LOOK_S)
        for reading in self._readings:
            reading.close()

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_S):
            try:
                machines = len(_there())
            except Exception as error:  # noqa: BLE001 Ray raises much; where its head has gone, it ends the process
                log.debug("Ray does not tell its machines: %s", error)
                continue
            self._absence.saw(machines, time.monotonic())
            if self._absence.too_long(time.monotonic()):
                for reading in self._readings:
                    reading.give_up(self._absence.error)


class RayReading:
    """ingest.workers.Reading. Archives are unpacked here, into a folder of this machine."""

    def __init__(self, scratch: Path | None, read: ReadBytes) -> None:
        import ray

        self._read = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(read)
        self._unpacking = Workers(scratch=scratch)
        self._open: dict[Future[Read], tuple[Any, str]] = {}

    @property
    def count(self) -> int:
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def read(self, path: Path, name: str, media_type: str, max_characters: int) -> Future[Read]:
        outcome: Future[Read] = Future()
        try:
            task = self._read.remote(path.read_bytes(), name, media_type, max_characters)
        except OSError as error:
            fail(outcome, unreadable(name, error))
            return outcome
        self._open[outcome] = task, name
        outcome.add_done_callback(lambda done: self._open.pop(done, None))
        task.future().add_done_callback(partial(_settle, outcome, name))
        return outcome

    def unpack(self, path: Path, name: str, media_type: str, into: Path, budget: Budget) -> Future[Unpacked]:
        return self._unpacking.unpack(path, name, media_type, into, budget)

    def give_up(self, error: ClusterUnavailable) -> None:
        """On the files that have not been read."""
        for outcome in list(self._open):
            fail(outcome, error)

    def close(self) -> None:
        import ray

        self._unpacking.close()
        for outcome, (task, name) in list(self._open.items()):
            fail(outcome, ended(name, "closed"))
            ray.cancel(task, force=True)


class RayEmbedder:
    """rag.ports.Embedder: passages are spread over the machines, questions are embedded by the model that is ``here``.

    Raises BadSetting where a machine has another model, ClusterUnavailable, and what the model raises."""

    def __init__(
        self, here: Embedder, nodes: Sequence[Node], model: Callable[[], Embedder], absence: Absence
    ) -> None:
        self._here, self._nodes, self._model, self._absence = here, nodes, model, absence
        self._there: list[Any] = []
        self.name, self.dimension, self.max_tokens = here.name, here.dimension, here.max_tokens

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return self._here.embed(texts)
        if not self._there:  # a run in which nothing is to be embedded loads no model
            self._there = self._started()
        share = math.ceil(len(texts) / len(self._there))
        parts = [list(texts[at : at + share]) for at in range(0, len(texts), share)]
        return np.concatenate(_embedded(self._there, parts, self._absence))

    def embed_query(self, text: str) -> Vectors:
        return self._here.embed_query(text)

    def _started(self) -> list[Any]:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        there = [
            ray.remote(
                num_cpus=0,
                num_gpus=_GPU if node.gpus else 0,
                max_restarts=-1,
                max_task_retries=RETRIES,
                scheduling_strategy=On(node.id, soft=True),  # of a machine that is lost, on another
            )(Embedding).remote(self._model)
            for node in self._nodes
        ]
        ours = self._here.embed([_SAMPLE])[0]
        for node, theirs in zip(
            self._nodes, _embedded(there, [[_SAMPLE]] * len(there), self._absence), strict=True
        ):
            if theirs.shape[1:] != ours.shape or float(theirs[0] @ ours) < _SAME:
                raise BadSetting(
                    f"The embedding model {self.name} of {node.address} is not that of this machine.",
                    "OPENBOOK_EMBEDDER must name the same model on every machine.",
                )
        return there


def _embedded(there: Sequence[Any], parts: Sequence[Sequence[str]], absence: Absence) -> list[Vectors]:
    import ray

    try:
        asked = [each.embed.remote(part) for each, part in zip(there, parts, strict=False)]
        found = [_result(*each, absence) for each in zip(there, parts, asked, strict=False)]
    except ray.exceptions.RayError as error:
        raise ClusterUnavailable(
            f"The cluster did not embed: {_first_line(error)}",
            "Run the command again; what was stored stays.",
        ) from error
    for each in found:
        if isinstance(each, RagError):
            raise each
    return found


def _result(actor: Any, part: Sequence[str], asked: Any, absence: Absence) -> Any:
    """Asks again while the actor's machine cannot be reached: Ray notices only after a while that it has gone, and
    tries it again until then, which soon uses up the retries of a task."""
    import ray

    began, away = time.monotonic(), None
    while True:
        if ray.wait([asked], timeout=_LOOK_S)[0]:
            try:
                return ray.get(asked)
            except ray.exceptions.ActorUnavailableError:
                away = away or time.monotonic()
                if time.monotonic() - away >= _AWAY_S:
                    raise
            time.sleep(_LOOK_S)
            asked = actor.embed.remote(part)
        if absence.too_long(time.monotonic(), began):
            raise absence.error


def _settle(outcome: Future[Read], name: str, done: Future[Read | BaseException]) -> None:
    """``done`` is the task's, once Ray is done with it."""
    from ray.exceptions import RayTaskError

    if isinstance(error := done.exception(), RayTaskError):
        fail(outcome, ParserBug(_first_line(error.cause), str(error)))
    elif error is not None:
        fail(outcome, ended(name, f"{type(error).__name__}, {RETRIES + 1} times"))
    elif isinstance(result := done.result(), BaseException):
        fail(outcome, result)
    else:
        with suppress(InvalidStateError):  # closed meanwhile
            outcome.set_result(result)


def _join(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise BadSetting(
            f"Ray is not installed: {error}.",
            "It comes with the extra openbook[ray]; in openbook's folder, on every machine: pip install '.[ray]'",
        ) from error
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)  # as Ray itself does
    if address not in ("auto", "local"):
        look_for(address)
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, **options)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        raise ClusterUnavailable(
            f"Ray at {address} cannot be joined: {_first_line(error)}",
            "Is it running? This machine must be part of it (ray start --address=HOST:PORT), or use ray://HOST:10001.",
        ) from error
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _there() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def _nodes() -> list[Node]:
    there = _there()
    if not there:
        raise ClusterUnavailable(
            "The Ray cluster has no machine with a CPU for tasks.", "Add one with: ray start --address=..."
        )
    return [Node(n["NodeID"], n["NodeManagerAddress"], n["Resources"].get("GPU", 0)) for n in there]


def _check(nodes: Sequence[Node], max_characters: int) -> None:
    """Every machine must read as this one does. Raises BadSetting and ClusterUnavailable."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    def version() -> tuple[str, str] | str:  # within, so that it is sent as code: openbook may not be there
        try:
            from ingest import ray_worker
        except ImportError as error:
            return str(error)
        return ray_worker.version(max_characters)

    ask = ray.remote(num_cpus=0)(version)
    asked = [ask.options(scheduling_strategy=On(node.id, soft=False)).remote() for node in nodes]
    try:
        told = ray.get(asked, timeout=_CHECK_S)
    except ray.exceptions.RayError as error:
        raise ClusterUnavailable(
            f"The machines of the Ray cluster do not answer: {_first_line(error)}", "Look at: ray status"
        ) from error
    for node, theirs in zip(nodes, told, strict=True):
        if why := ray_worker.differs(theirs, ray_worker.version(max_characters)):
            raise BadSetting(
                f"The machine {node.address} of the Ray cluster {why}.",
                "Install the same openbook[ray] on every machine, and start Ray from its environment.",
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
