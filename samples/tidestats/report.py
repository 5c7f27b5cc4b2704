"""A day on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from tidestats.records import Record, usable
from tidestats.surge import State, states
from tidestats.tides import extremes, tidal_range

# Below this the gauge stops sending, in volts.
LOW_BATTERY = 10.8


def summary(records: Sequence[Record]) -> str:
    """Several lines of text. Raises ValueError where no record is usable."""
    good = usable(records)
    if not good:
        raise ValueError("no usable record")
    highest = max(good, key=lambda record: record.level)
    worst = max(state for _, state in states(records))
    lines = [
        f"{len(records)} records, {len(records) - len(good)} unusable",
        f"highest {highest.level:.2f} m at {highest.time:%H:%M} UTC",
        f"mean tidal range {tidal_range(good):.2f} m",
        f"state reached: {worst.name.lower()}",
    ]
    lines += [
        f"{each.kind} water {each.record.level:.2f} m at {each.record.time:%H:%M}" for each in extremes(good)
    ]
    if worst is State.ALARM:
        lines.append("send these records to the committee within 48 hours")
    if min(record.battery for record in records) < LOW_BATTERY:
        lines.append("battery low: change the pack")
    return "\n".join(lines)
