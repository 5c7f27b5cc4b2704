"""Metrics that are looked up when Prometheus asks: the queue, jobs, collections."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.lag import Lag
from ingest.jobs import State
from rag.admission import Gate
from rag.errors import RagError

log = logging.getLogger(__name__)

SIZES = "openbook_collection_"  # begins the names of what is told of each collection
SIZES_S = 60.0  # how old the sizes of collections may be

_QUEUE = {
    "waiting": "Questions that wait for the server of a model.",
    "running": "Questions that the server of a model reads or answers.",
}

Sizes = Mapping[str, tuple[int, int]]  # documents and passages


class Scraped(Collector):
    """``gates`` go by the names of models, which settings give; ``jobs`` counts them by state; ``sizes`` may take long,
    so it is asked in the background, and what it said last is told. Both block."""

    def __init__(
        self,
        gates: Mapping[str, Gate],
        lag: Lag,
        jobs: Callable[[], Mapping[State, int]],
        sizes: Callable[[], Sizes],
    ) -> None:
        self._gates, self._lag, self._jobs, self._sizes = gates, lag, jobs, sizes
        self._queues: Mapping[str, tuple[int, int]] = {}  # that wait and that run, by model
        self._known: Sizes = {}
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None

    def look(self) -> None:
        """In the event loop, before it is collected in a thread."""
        self._queues = {name: (gate.queued, gate.running) for name, gate in self._gates.items()}
        idle = self._asking is None or self._asking.done()
        if idle and (self._asked_at is None or time.monotonic() - self._asked_at >= SIZES_S):
            self._asked_at = time.monotonic()
            self._asking = asyncio.create_task(self._ask())

    async def close(self) -> None:
        """Returns when nothing is asked any more."""
        if self._asking:
            await asyncio.wait([self._asking])

    def describe(self) -> list[Metric]:
        return []  # so that nothing is looked up when it is registered

    def collect(self) -> Iterator[Metric]:
        for at, (name, what) in enumerate(_QUEUE.items()):
            queue = GaugeMetricFamily(f"openbook_queue_{name}", what, labels=["model"])
            for model, counts in self._queues.items():
                queue.add_metric([model], counts[at])
            yield queue
        yield GaugeMetricFamily(
            "openbook_event_loop_lag_longest_seconds", "The longest within the last 30 to 60 s.",
            value=self._lag.longest_s,
        )  # fmt: skip
        jobs, counted = GaugeMetricFamily("openbook_jobs", "Ingest jobs.", labels=["state"]), self._jobs()
        for state in get_args(State):
            jobs.add_metric([state], counted.get(state, 0))
        yield jobs
        for at, what in enumerate(("documents", "passages")):
            size = GaugeMetricFamily(f"{SIZES}{what}", "As of the last minutes.", labels=["collection"])
            for name, sizes in self._known.items():
                size.add_metric([name], sizes[at])
            yield size

    async def _ask(self) -> None:
        try:
            self._known = await asyncio.to_thread(self._sizes)
        except RagError as error:
            log.debug("sizes of collections: %s", error)
