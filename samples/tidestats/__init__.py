"""Statistics of tide gauge records: high and low waters, surge states, a daily summary."""

from tidestats.records import Record, read_records
from tidestats.report import summary
from tidestats.surge import State, states
from tidestats.tides import Extreme, extremes, tidal_range

__all__ = ["Extreme", "Record", "State", "extremes", "read_records", "states", "summary", "tidal_range"]
