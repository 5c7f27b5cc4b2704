"""Records as the Heron H2 writes them: ``time_utc,level_m,battery_v,code``."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# Readings are not measurements while one of these is shown: no echo, weak echo, held in rain, gauge tilted.
UNUSABLE = {"E01", "E02", "E07", "E09"}


@dataclass(frozen=True)
class Record:
    """One reading. ``level`` is in metres above chart datum, ``battery`` in volts."""

    time: datetime
    level: float
    battery: float
    code: str = ""

    @property
    def usable(self) -> bool:
        return self.code not in UNUSABLE


def read_records(path: Path, offset: float = 0.0) -> list[Record]:
    """All records of a file, in order of time. ``offset`` is the station's datum offset in metres."""
    with path.open(newline="") as file:
        records = [_record(row, offset) for row in csv.DictReader(file)]
    return sorted(records, key=lambda record: record.time)


def usable(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.usable]


def _record(row: dict[str, str], offset: float) -> Record:
    time = datetime.fromisoformat(row["time_utc"]).replace(tzinfo=UTC)
    level = round(float(row["level_m"]) + offset, 3)
    return Record(time, level, float(row["battery_v"]), row["code"].strip())
