"""Pages are drawn in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.drawing import Drawing
from rag.errors import SourceCorrupt
from rag.types import Span
from service import children_of

pytestmark = pytest.mark.process
PDF = Path(__file__).parent.parent / "samples" / "heron-h2-manual.pdf"
NOWHERE = Span(0, 0)


@pytest.fixture
def drawing() -> Iterator[Drawing]:
    with closing(Drawing()) as made:
        yield made


def test_a_page_is_drawn_once_and_what_cannot_be_drawn_is_told(drawing: Drawing, tmp_path: Path) -> None:
    made = drawing.page(PDF, "hash", 1, "", NOWHERE)
    assert made.png.startswith(b"\x89PNG")
    assert drawing.page(PDF, "hash", 1, "", NOWHERE) is made
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nno page")
    with pytest.raises(SourceCorrupt, match=r"broken\.pdf"):
        drawing.page(broken, "", 1, "", NOWHERE)
    with pytest.raises(SourceCorrupt, match="no page 999"):
        drawing.page(PDF, "", 999, "", NOWHERE)


def test_a_process_that_is_killed_costs_no_other_picture(drawing: Drawing) -> None:
    before = children_of(os.getpid())
    drawing.page(PDF, "first", 1, "", NOWHERE)
    begun = children_of(os.getpid()) - before
    assert begun
    os.kill(max(begun), signal.SIGSEGV)
    assert drawing.page(PDF, "second", 1, "", NOWHERE).png
