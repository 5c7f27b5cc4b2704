"""When a run on a cluster gives up waiting for machines."""

from __future__ import annotations

import math

from ingest.absence import Absence
from rag.errors import ClusterUnavailable


def test_only_a_cluster_without_machines_for_long_is_given_up() -> None:
    absence = Absence(10.0)
    absence.saw(2, 100.0)
    assert not absence.too_long(1000.0)
    absence.saw(0, 105.0)
    absence.saw(0, 109.0)
    assert not absence.too_long(114.9)
    assert absence.too_long(115.0)


def test_a_machine_that_comes_back_begins_it_anew() -> None:
    absence = Absence(10.0)
    absence.saw(0, 0.0)
    absence.saw(1, 9.0)
    assert not absence.too_long(20.0)
    absence.saw(0, 20.0)
    assert not absence.too_long(29.9)
    assert absence.too_long(30.0)


def test_who_has_just_begun_to_wait_has_the_whole_time() -> None:
    """The head may still embed, though no machine reads."""
    absence = Absence(10.0)
    absence.saw(0, 0.0)
    assert not absence.too_long(50.0, waiting_since=45.0)
    assert absence.too_long(55.0, waiting_since=45.0)


def test_without_an_end_it_never_is() -> None:
    absence = Absence(math.inf)
    absence.saw(0, 0.0)
    assert not absence.too_long(1e9)


def test_the_error_says_how_long_and_what_to_do() -> None:
    error = Absence(2.5).error
    assert isinstance(error, ClusterUnavailable)
    assert "for 2.5 s (OPENBOOK_RAY_PATIENCE_S)" in error.message
    assert "What was stored stays." in error.hint
    assert "the same command goes on" in error.hint
