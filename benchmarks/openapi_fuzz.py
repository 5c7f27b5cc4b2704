"""Calls made of the OpenAPI description, with a key and without: python -P benchmarks/openapi_fuzz.py [--calls 10000]

Over an engine of fakes on a socket of loopback (tests/openapi_fuzz.py): what is looked for are failures of the service,
and replies that the description does not have. Prints the calls by operation and status; exit code 1 where anything
was found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fake_engine import REPLY, fake_engine, ingested
from fakes import FakeGenerator
from live import served
from openapi_fuzz import Fuzz, known

EXAMPLES = 10  # of each operation, good and bad, with a key and without, in a round


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=10_000, help="At least so many.")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        fuzz = _fuzzed(Path(temporary).resolve(), given.calls)
    _print(fuzz)
    print(
        f"\n{fuzz.counts.total():,} calls in {time.perf_counter() - began:,.0f} s, {len(fuzz.failures)} failures"
    )
    return 1 if fuzz.failures else 0


def _fuzzed(folder: Path, calls: int) -> Fuzz:
    (folder / "gauge.md").write_text("# Gauge\n\nThe battery lasts 400 days.\n")
    with fake_engine(folder / "data", FakeGenerator(REPLY)) as engine:
        ingested(engine, folder / "gauge.md")
        with served(engine) as service:
            fuzz = Fuzz(service.url, folder, EXAMPLES, known(engine))
            for number in count():
                for key in (None, service.token):
                    fuzz.run(key, number)
                print(f"{fuzz.counts.total():,} calls, {len(fuzz.failures)} failures", flush=True)
                if fuzz.counts.total() >= calls:
                    break
    return fuzz


def _print(fuzz: Fuzz) -> None:
    by_operation: dict[str, dict[int, int]] = defaultdict(dict)
    for (operation, status), calls in sorted(fuzz.counts.items()):
        by_operation[operation][status] = calls
    for operation, statuses in by_operation.items():
        print(operation, " ".join(f"{status}: {calls}" for status, calls in statuses.items()))
    for operation, what in fuzz.failures.items():
        print(f"\n{operation}\n{what}")


if __name__ == "__main__":
    sys.exit(main())
