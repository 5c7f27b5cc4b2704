"""``python -m tidestats FILE --offset METRES``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tidestats.records import read_records
from tidestats.report import summary


def main() -> None:
    parser = argparse.ArgumentParser(prog="tidestats", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--offset", type=float, default=0.0, help="datum offset of the station, in metres")
    arguments = parser.parse_args()
    sys.stdout.write(summary(read_records(arguments.file, arguments.offset)) + "\n")


if __name__ == "__main__":
    main()
