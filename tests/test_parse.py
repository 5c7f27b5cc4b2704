from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.plain import decode
from ingest.formats.tables import markdown_table
from ingest.media_types import MEDIA_TYPES
from ingest.parse import INSTEAD, PARSERS, parse, parser_version
from ingest.parsed import Composer, HeadingPath, Parsed, Region
from rag.errors import SourceCorrupt, SourceEmpty, SourceError, SourceUnsupported

DATA = Path(__file__).parent / "data"
SAMPLES = Path(__file__).parent.parent / "samples"
DOCX, PPTX, XLSX = (MEDIA_TYPES[suffix] for suffix in (".docx", ".pptx", ".xlsx"))


def pdf(*pages: int | None) -> bytes:
    """The manual's pages of these indices; None is a page without text."""
    manual = pypdfium2.PdfDocument(SAMPLES / "heron-h2-manual.pdf")
    made = pypdfium2.PdfDocument.new()
    for page in pages:
        if page is None:
            made.new_page(200, 200).close()
        else:
            made.import_pages(manual, [page])
    out = io.BytesIO()
    made.save(out)
    made.close()
    manual.close()
    return out.getvalue()


def at(parsed: Parsed, phrase: str) -> Region:
    """The region that holds ``phrase``."""
    offset = parsed.text.index(phrase)
    return [region for region in parsed.regions if region.start <= offset][-1]


# --- which parser ---


def test_every_media_type_that_is_found_is_read_or_explained() -> None:
    for suffix, media_type in MEDIA_TYPES.items():
        assert media_type in PARSERS or media_type in INSTEAD or media_type.startswith("text/"), suffix


def test_each_parser_has_a_version_of_its_own() -> None:
    versions = {media_type: parser_version(media_type) for media_type in PARSERS}
    assert versions["application/pdf"] != versions["text/html"] == versions["application/xhtml+xml"]
    assert parser_version("text/plain") == versions["application/json"] != parser_version("text/x-python")
    assert parser_version("application/octet-stream") == ""


HEAVY = (
    *("llama_index torch rapidocr openvino cv2 numpy PIL kreuzberg pandas python_calamine openpyxl pptx docx"
      " oxmsg pypandoc unstructured spacy").split(),
)  # fmt: skip


def test_heavy_parsers_are_imported_only_when_they_are_needed() -> None:
    code = (
        "import sys\n"
        "from ingest.parse import parse\n"
        "from ingest.passages import tile\n"
        "list(tile(parse(b'# A\\n\\nwords\\n', 'a.md', 'text/markdown'), 900))\n"
        "print([name for name in HEAVY if name in sys.modules])".replace("HEAVY", repr(HEAVY))
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# --- what cannot be read: each error names the file and a way out ---


def refuse(data: bytes, name: str, media_type: str, error: type[SourceError]) -> SourceError:
    with pytest.raises(error) as raised:
        parse(data, name, media_type)
    assert name in raised.value.message
    assert raised.value.hint
    return raised.value


@pytest.mark.parametrize("media_type", sorted(PARSERS))
def test_no_bytes(media_type: str) -> None:
    refuse(b"", "some.file", media_type, SourceEmpty)


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown", "application/json"])
def test_no_text(media_type: str) -> None:
    refuse(b" \n\t\n", "blank.file", media_type, SourceEmpty)


def test_unknown_type() -> None:
    refuse(b"\x89PNG", "picture.png", "application/octet-stream", SourceUnsupported)


def test_a_known_type_that_is_not_read_says_what_to_save_it_as() -> None:
    assert ".zip" in refuse(b"7z", "old.7z", MEDIA_TYPES[".7z"], SourceUnsupported).hint


def test_binary_data_named_as_text() -> None:
    refuse(b"\x7fELF\x02\x01\0\0\0\xff\xfe", "program.txt", "text/plain", SourceUnsupported)
    refuse(b"a\0b", "nul.txt", "text/plain", SourceUnsupported)


def test_no_pdf() -> None:
    refuse(b"%PDF-1.7 and then nothing", "broken.pdf", "application/pdf", SourceCorrupt)


def test_a_cut_pdf() -> None:
    data = (SAMPLES / "heron-h2-manual.pdf").read_bytes()
    refuse(data[:400], "half.pdf", "application/pdf", SourceCorrupt)


def test_a_pdf_that_needs_a_password() -> None:
    error = refuse((DATA / "locked.pdf").read_bytes(), "locked.pdf", "application/pdf", SourceCorrupt)
    assert "password" in error.message


def test_a_pdf_without_text_layer() -> None:
    error = refuse(pdf(None, None), "scan.pdf", "application/pdf", SourceEmpty)
    assert "2 page(s)" in error.message
    assert "OCR" in error.hint


@given(st.sampled_from(["heron-h2-manual.pdf", "surge-runbook.md"]), st.data())
def test_damage_is_a_source_error_or_harmless(name: str, data: st.DataObject) -> None:
    content = bytearray((SAMPLES / name).read_bytes())
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(SourceError):
        assert parse(cut, name, MEDIA_TYPES[Path(name).suffix]).text.strip()


# --- PDF ---


def test_a_pdf_encrypted_with_an_empty_password_opens() -> None:
    parsed = parse((DATA / "empty-password.pdf").read_bytes(), "a.pdf", "application/pdf")
    assert "bracket H2-BR" in parsed.text


def test_pages_count_from_one_and_blank_ones_count() -> None:
    parsed = parse(pdf(2, None, 3), "a.pdf", "application/pdf")
    assert parsed.pages == 3
    assert at(parsed, "4 Calibration").page == 1
    assert at(parsed, "Tilted by more").page == 3
    assert [region.page for region in parsed.regions] == [1, 3]


def test_a_pdf_without_title_is_called_as_its_file() -> None:
    assert parse(pdf(0), "manuals/gauge.pdf", "application/pdf").title == "gauge.pdf"


def test_sections_of_a_pdf_begin_where_their_headings_stand() -> None:
    data = (SAMPLES / "heron-h2-manual.pdf").read_bytes()
    parsed = parse(data, "m.pdf", "application/pdf")
    assert at(parsed, "six newton" if "six newton" in parsed.text else "6 newton").section == ("2 Mounting",)
    assert at(parsed, "How long a pack lasts") == Region(parsed.text.index("3 Power"), ("3 Power",), page=2)
    assert at(parsed, "Heron H2 Tide Gauge").section == ("1 Overview",)


# --- plain text ---


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_encodings(encoding: str) -> None:
    text = "Die Größe der Wellen über dem Pier wäre für den Hafenmeister ärgerlich gewesen.\n" * 3
    assert decode(text.encode(encoding), "a.txt") == text


def test_a_broken_byte_does_not_change_the_rest() -> None:
    text = "Größe über Länge, übermäßig ärgerlich, Höhe der Wellen überall größer."
    assert decode(text.encode().replace(b"H", b"\xff"), "a.txt") == text.replace("H", "\ufffd")


def test_a_broken_utf16_file() -> None:
    with pytest.raises(SourceCorrupt, match=r"a\.txt"):
        decode(b"\xff\xfea\0\xd8", "a.txt")


def test_line_ends_become_one_kind() -> None:
    assert parse(b"a\r\nb\rc\n", "a.txt", "text/plain").text == "a\nb\nc\n"


@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])))
def test_plain_text_is_kept_character_for_character(text: str) -> None:
    if not text.startswith("\ufeff"):
        assert decode(text.encode(), "a.txt") == text


# --- Markdown ---

NOTES = b"""---
title: "The notes"
---
# First

## Inner `code` *em*

Words.

```sh
# no heading
```

> # quoted

Second
======

- # in a list
"""


def test_markdown_is_kept_and_its_headings_make_sections() -> None:
    parsed = parse(NOTES, "notes.md", "text/markdown")
    assert parsed.text == NOTES.decode()
    assert parsed.title == "The notes"
    assert [region.section for region in parsed.regions] == [("First", "Inner code em"), ("Second",)]
    assert at(parsed, "# no heading").section == ("First", "Inner code em")


def test_the_title_of_markdown() -> None:
    assert parse(b"## Small\n\n# Great\n\nx", "a.md", "text/markdown").title == "Great"
    assert parse(b"words", "a.md", "text/markdown").title == "a.md"


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    parsed = parse(b"---\n\n# Title\n\nwords\n", "a.md", "text/markdown")
    assert parsed.title == "Title"


def fields(front: str) -> dict[str, str | list[str]]:
    return parse(f"---\n{front}\n---\nwords\n".encode(), "a.md", "text/markdown").fields


def test_front_matter_is_kept_as_it_is_written() -> None:
    assert fields(
        "author: Ada\nversion: 1.10\ndraft: yes\ndate: 2026-02-30\n"
        "tags: [sea, 2026]\nlist:\n- a\n- 'b: c'\nnone:\n1: one"
    ) == {
        "author": "Ada",
        "version": "1.10",
        "draft": "yes",
        "date": "2026-02-30",
        "tags": ["sea", "2026"],
        "list": ["a", "b: c"],
        "none": "",
        "1": "one",
    }
    assert fields("deep: {a: b}\nmixed: [a, [b]]\nflat: c") == {"flat": "c"}


@pytest.mark.parametrize(
    "front",
    [
        "- a\n- b",
        "words",
        "a: [",
        "a: b: c",
        "[" * 5000,
        "? [a]\n: b",
        "!!python/object/apply:os.getcwd []",
        "a: &a [*a]",
    ],
)
def test_what_is_no_front_matter_is_read_all_the_same(front: str) -> None:
    assert fields(front) == {}


@given(
    st.lists(
        st.sampled_from(["# A\n", "## B\n", "#\n", "\n", "x\n", "```\n", "---\n", "title: t\n", "> #c\n"])
    )
)
def test_markdown_regions_cover_any_text(lines: list[str]) -> None:
    text = "".join(lines)
    if text.strip():
        assert parse(text.encode(), "a.md", "text/markdown").text == text


# --- the pieces that parsers share ---


def test_outline_closes_headings_of_the_same_and_deeper_levels() -> None:
    outline = HeadingPath()
    assert outline.enter(2, "a") == ("a",)
    assert outline.enter(5, "b") == ("a", "b")
    assert outline.enter(3, "c") == ("a", "c")
    assert outline.enter(1, "d") == ("d",)


def test_a_heading_without_text_joins_the_subsection_below() -> None:
    composer = Composer()
    composer.add("# A", Region(0, ("A",)), heading=True)
    composer.add("## B", Region(0, ("A", "B")), heading=True)
    composer.add("words", Region(0, ("A", "B")))
    composer.add("# C", Region(0, ("C",)), heading=True)
    composer.add("# D", Region(0, ("D",)), heading=True)
    parsed = composer.finish("t")
    assert [region.section for region in parsed.regions] == [("A", "B"), ("C",), ("D",)]
    assert parsed.text == "# A\n\n## B\n\nwords\n\n# C\n\n# D"


def test_tables_become_markdown() -> None:
    html = (
        "<table><tr><th>a|b</th><th colspan='2'>wide</th></tr>"
        "<tr><td rowspan='2'>tall</td><td>1</td><td>2</td></tr><tr><td>3</td><td> 4\n5 </td></tr></table>"
    )
    assert markdown_table(html).splitlines() == [
        "| a\\|b | wide |  |",
        "| --- | --- | --- |",
        "| tall | 1 | 2 |",
        "|  | 3 | 4 5 |",
    ]
    assert markdown_table("<table><tr><td> </td></tr></table>") == ""
