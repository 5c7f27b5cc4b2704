"""What is known of the model server's speed, kept in the data folder: one file for each model on each server.

``calibrations/NAME.jsonl`` holds what ``openbook calibrate`` measured, ``NAME.observed.jsonl`` the latest requests; a
line each, written whole, so that a process that is killed loses at most the line that it was writing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rag import jsonl, priors
from rag.errors import BadSetting
from rag.ports import ModelInfo
from rag.prefill import ENOUGH, WINDOW, Cost, Observed, Sample, fit

log = logging.getLogger(__name__)

FOLDER = "calibrations"  # in the data folder
SETTLED_S = 5.0  # after its last sample a calibration is loaded anew
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What prefill's speed depends on: another one is another calibration. ``machine`` is this one's processor, or
    where the server is, if that is elsewhere."""

    model: str
    window: int
    server: str
    block_size: int
    machine: str

    @property
    def name(self) -> str:
        """Of its files."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        return f"{re.sub(r'[^A-Za-z0-9.]+', '-', self.model)[:60]}-{digest}"

    def __str__(self) -> str:
        return f"{self.model}, window {self.window:,}, {self.server or 'unknown server'}, {self.machine}"


def fingerprint(model: ModelInfo, url: str) -> Fingerprint:
    host = urlsplit(url).hostname or ""
    machine = _machine() if host in LOCAL else host
    return Fingerprint(
        model.name, model.window, model.server, model.cache.block_size if model.cache else 0, machine
    )


@cache
def _machine() -> str:
    cores = f"{platform.machine()}, {os.cpu_count()} cores"
    try:
        found = re.search(r"^model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return f"{cores}, {found[1]}" if found else cores


class Calibration:
    """The samples that were measured on purpose, each under the step of the plan that it belongs to."""

    def __init__(self, folder: Path, of: Fingerprint) -> None:
        self.path = folder / f"{of.name}.jsonl"
        self._of = of

    def load(self) -> list[tuple[str, Sample]]:
        rows = jsonl.rows(self.path)
        return [(row["step"], _sample(row)) for row in rows if "step" in row]

    def keep(self, step: str, sample: Sample) -> None:
        """Raises BadSetting where the data folder cannot be written."""
        try:
            if not self.path.exists():
                jsonl.append(self.path, {"fingerprint": asdict(self._of)})
            jsonl.append(self.path, {"step": step} | asdict(sample))
        except OSError as error:
            raise BadSetting(
                f"The calibration cannot be kept in {self.path}: {error}",
                "Set OPENBOOK_DATA_DIR to a folder you can write.",
            ) from error

    def begin_anew(self) -> None:
        """What was observed goes too: it tells of the same server, before."""
        for path in (self.path, observed_file(self.path)):
            path.unlink(missing_ok=True)


def observed_file(calibration: Path) -> Path:
    return calibration.with_suffix(".observed.jsonl")


class CostBook:
    """The cost of prefill on each server as it is known now: calibrated, else by the published figures of a known
    model, else by the requests that were observed. Safe to use from threads; the first question about a server fits
    its samples, for a second at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages: dict[Fingerprint, _Page] = {}
        self._lock = threading.Lock()

    def current(self, of: Fingerprint) -> Cost | None:
        """None where nothing is known: better no prediction than a wrong one."""
        with self._lock:
            return self._page(of).observed.cost

    def observe(self, of: Fingerprint, new: int, cached: int, seconds: float) -> None:
        """A request that waited for no other one before its prefill began. Never an error: an answer is worth more
        than what can be learned from it."""
        if new <= 0 or cached < 0 or seconds <= 0:
            return
        sample = Sample(new, cached, seconds)
        with self._lock:
            page = self._page(of)
            page.observed.add(sample)
            try:
                page.keep(sample)
            except OSError as error:
                log.warning("what a request took cannot be kept: %s", error)

    def _page(self, of: Fingerprint) -> _Page:
        page = self._pages.get(of)
        if page is None or page.is_stale:  # a calibration goes on beside a service
            page = self._pages[of] = _Page(Calibration(self._folder, of), of.model)
        return page


@dataclass(frozen=True, slots=True)
class CostsAt:
    """The costs of the server that ``url`` names at the moment."""

    book: CostBook
    url: Callable[[], str]

    def current(self, model: ModelInfo) -> Cost | None:
        return self.book.current(fingerprint(model, self.url()))

    def observe(self, model: ModelInfo, new: int, cached: int, seconds: float) -> None:
        self.book.observe(fingerprint(model, self.url()), new, cached, seconds)


class _Page:
    """One server's: what was loaded, and where observations go."""

    def __init__(self, calibration: Calibration, model: str) -> None:
        self._calibration = calibration.path
        self._path = observed_file(calibration.path)
        self._loaded = self._state()
        samples = [sample for _, sample in calibration.load()]
        self.observed = _observed(samples, model)
        self._lines = 0
        for row in jsonl.rows(self._path):
            self.observed.add(_sample(row))
            self._lines += 1

    @property
    def is_stale(self) -> bool:
        """Whether there is another calibration now, not one that grows at this moment."""
        state = self._state()
        return state != self._loaded and (state is None or time.time_ns() - state[0] > SETTLED_S * 10**9)

    def keep(self, sample: Sample) -> None:
        jsonl.append(self._path, asdict(sample))
        self._lines += 1
        if self._lines >= 4 * WINDOW:
            latest = list(jsonl.rows(self._path))[-WINDOW:]
            jsonl.replace(self._path, latest)
            self._lines = len(latest)

    def _state(self) -> tuple[int, int] | None:
        try:
            stat = self._calibration.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size


def _observed(samples: list[Sample], model: str) -> Observed:
    if len(samples) >= ENOUGH:
        return Observed(fit(samples), samples)
    prior = priors.find(model)
    return Observed(prior.cost, prior.samples) if prior else Observed(None)


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(int(row["new"]), int(row["cached"]), float(row["seconds"]))
