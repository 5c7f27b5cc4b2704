"""What was read of a document is kept for as long as it is what the document says."""

from __future__ import annotations

from dataclasses import replace

from fakes import document, passages
from rag.store.stretches import Stretches

DOC = replace(document("file:///d/a.md"), passages=3)
TEXTS = passages(DOC, "One.", "Two.", "Three.")


def test_what_was_kept_is_found_by_its_revision_and_stretch() -> None:
    kept = Stretches()
    kept.keep(DOC, None, TEXTS)
    kept.keep(DOC, (1, 9), TEXTS[1:])
    assert kept.get(DOC, None) == list(TEXTS)
    assert kept.get(DOC, (1, 9)) == list(TEXTS[1:])
    assert kept.get(DOC, (0, 1)) is None
    assert kept.get(replace(DOC, revision="another"), None) is None
    found = kept.get(DOC, None)
    assert found is not None
    found.clear()
    assert kept.get(DOC, None) == list(TEXTS)


def test_a_stretch_with_a_gap_is_not_kept() -> None:
    kept = Stretches()
    kept.keep(DOC, None, TEXTS[1:])
    kept.keep(DOC, (-2, 1), TEXTS[:1])
    assert kept.get(DOC, None) is None
    assert kept.get(DOC, (-2, 1)) is None
    kept.keep(DOC, (-2, 1), TEXTS[:2])
    assert kept.get(DOC, (-2, 1)) == list(TEXTS[:2])


def test_the_least_recently_read_goes_first() -> None:
    kept = Stretches(most=len("One.Two."))
    kept.keep(DOC, (0, 0), TEXTS[:1])
    kept.keep(DOC, (1, 1), TEXTS[1:2])
    assert kept.get(DOC, (0, 0))
    kept.keep(DOC, (0, 0), TEXTS[:1])  # again: counted once
    assert kept.get(DOC, (1, 1))
    assert kept.get(DOC, (0, 0))
    kept.keep(DOC, (2, 2), TEXTS[2:])
    assert kept.get(DOC, (2, 2)) is None or kept.get(DOC, (1, 1)) is None
    assert kept.get(DOC, (1, 1)) is None
