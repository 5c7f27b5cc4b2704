"""What openbook's own readers refuse is tried with unstructured, and only that."""

from __future__ import annotations

import pytest

from ingest.formats import second
from ingest.media_types import MEDIA_TYPES
from ingest.parse import parse
from rag.errors import SourceCorrupt, SourceUnsupported

PAGE = b"""<html><body><h1>Gauge \0 manual</h1><p>The battery lasts 400 days.</p><ul><li>Check the \0\0 seal.</li></ul>
<table><tr><th>part</th><th>price</th></tr><tr><td>seal</td><td>12</td></tr></table></body></html>"""

pytestmark = pytest.mark.models


def test_a_page_with_zero_bytes_is_read() -> None:
    parsed = parse(PAGE, "page.html", MEDIA_TYPES[".html"])
    assert "The battery lasts 400 days." in parsed.text
    assert "seal" in parsed.text
    assert "| seal | 12 |" in parsed.text
    assert parsed.regions[-1].section


def test_what_is_no_text_is_not_read_as_text() -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
    with pytest.raises(SourceUnsupported, match="binary data"):
        parse(picture, "picture.html", MEDIA_TYPES[".html"])


def test_what_neither_can_read_is_refused_by_the_first() -> None:
    with pytest.raises(SourceCorrupt, match=r"letter\.docx"):
        parse(b"PK\x03\x04 no archive", "letter.docx", MEDIA_TYPES[".docx"])


def test_a_good_file_does_not_ask_for_a_second_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second, "_partition", lambda _kind: pytest.fail("asked"))
    assert parse(PAGE.replace(b"\0", b""), "page.html", MEDIA_TYPES[".html"]).title
