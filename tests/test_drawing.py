"""Pages are drawn in a process of its own."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.drawing import Drawing
from fakes import document
from rag.errors import SourceCorrupt
from rag.types import Document, Span
from service import children_of

pytestmark = pytest.mark.process
PDF = Path(__file__).parent.parent / "samples" / "heron-h2-manual.pdf"
NOWHERE = Span(0, 0)


@pytest.fixture
def drawing() -> Iterator[Drawing]:
    with closing(Drawing()) as made:
        yield made


def read_from(file: Path) -> Document:
    return document(file.as_uri(), content_hash=hashlib.sha256(file.read_bytes()).hexdigest())


async def test_a_page_is_drawn_once_and_what_cannot_be_drawn_is_told(
    drawing: Drawing, tmp_path: Path
) -> None:
    manual = read_from(PDF)
    made = await drawing.page(manual, 1, "", NOWHERE)
    assert made.png.startswith(b"\x89PNG")
    assert await drawing.page(manual, 1, "", NOWHERE) is made
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nno page")
    with pytest.raises(SourceCorrupt, match=r"broken\.pdf"):
        await drawing.page(read_from(broken), 1, "", NOWHERE)
    with pytest.raises(SourceCorrupt, match="no page 999"):
        await drawing.page(manual, 999, "", NOWHERE)


async def test_a_process_that_is_killed_costs_no_other_picture(drawing: Drawing) -> None:
    before = children_of(os.getpid())
    await drawing.page(read_from(PDF), 1, "", NOWHERE)
    begun = children_of(os.getpid()) - before
    assert begun
    os.kill(max(begun), signal.SIGSEGV)
    assert (await drawing.page(read_from(PDF), 2, "", NOWHERE)).png
