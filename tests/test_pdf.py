"""PDF files, made here from words at places (points from the bottom left) so that each test shows its page."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from PIL import Image, ImageDraw, ImageFont

import ingest.pdf.pdfium
from ingest.formats.ocr import Recognized
from ingest.parsed import Parsed
from ingest.passages import passages
from ingest.pdf.document import parse_pdf
from ingest.pdf.text import Vocabulary
from ingest.pdf.words import Line, Page
from rag.errors import SourceEmpty

SAMPLES = Path(__file__).parent.parent / "samples"

# Text (bold after **) and its left edge, baseline and, if it is not 10 points, its size.
Piece = tuple[str, float, float] | tuple[str, float, float, float]


def pdf(*pages: list[Piece], turn: int = 0) -> bytes:
    document = pypdfium2.PdfDocument.new()
    plain, bold = (
        pdfium.FPDFText_LoadStandardFont(document.raw, name) for name in (b"Helvetica", b"Helvetica-Bold")
    )
    for pieces in pages:
        page = document.new_page(600, 800)
        for marked, left, y, *size in pieces:
            font, text = (bold if marked.startswith("**") else plain), marked.removeprefix("**")
            item = pdfium.FPDFPageObj_CreateTextObj(document.raw, font, size[0] if size else 10.0)
            units = (ctypes.c_ushort * (len(text) + 1))(*map(ord, text), 0)
            pdfium.FPDFText_SetText(item, units)
            a, b, c, d = (0, 1, -1, 0) if turn else (1, 0, 0, 1)
            x, up = (600 - y, left) if turn else (left, y)
            pdfium.FPDFPageObj_Transform(item, a, b, c, d, x, up)
            pdfium.FPDFPage_InsertObject(page.raw, item)
        pdfium.FPDFPage_GenerateContent(page.raw)
        page.set_rotation(turn)
        page.close()
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


def row(
    y: float, label: str, *amounts: str, first: float = 300, step: float = 90, size: float = 10
) -> list[Piece]:
    """Amounts end at the right edges of their columns, about as wide as their digits."""
    ends = [first + step * index for index in range(len(amounts))]
    cells: list[Piece] = [
        (amount, end - 0.5 * size * len(amount), y, size)
        for amount, end in zip(amounts, ends, strict=True)
        if amount
    ]
    return [(label, 50, y, size), *cells] if label else cells


def lines(top: float, *texts: str, left: float = 50, step: float = 12) -> list[Piece]:
    return [(text, left, top - step * index) for index, text in enumerate(texts)]


def read(*pages: list[Piece], turn: int = 0) -> Parsed:
    return parse_pdf(pdf(*pages, turn=turn), "made.pdf")


def page_of(parsed: Parsed, phrase: str) -> int | None:
    offset = parsed.text.index(phrase)
    return [region for region in parsed.regions if region.start <= offset][-1].page


# --- tables ---

PROSE = (
    "The company sells gauges to harbours and to the pilots who have to trust",
    "them, and it had another good year with sales of 44 gauges in 2025 and of",
    "51 gauges in 2026, most of which went to harbours in the north of the land.",
)
STATEMENT: list[Piece] = [
    ("Statements of income", 50, 700),
    ("Years ended", 302, 670),
    *row(658, "(in thousands)", "2026", "2025"),
    ("Revenue:", 50, 646),
    *row(634, "Gauges", "$ 1,205", "$ 987"),
    *row(622, "Services", "310", "(12)"),
    *row(610, "Total revenue", "$ 1,515", "$ 975"),
]


def test_a_table_of_numbers_becomes_markdown_below_its_caption() -> None:
    text = read([*lines(760, *PROSE), *STATEMENT, *lines(580, *PROSE)]).text
    assert text.split("\n\n") == [
        "\n".join(PROSE),
        "Statements of income\n"
        "|  | Years ended |  |\n"
        "| --- | --- | --- |\n"
        "| (in thousands) | 2026 | 2025 |\n"
        "| Revenue: |  |  |\n"
        "| Gauges | $ 1,205 | $ 987 |\n"
        "| Services | 310 | (12) |\n"
        "| Total revenue | $ 1,515 | $ 975 |",
        "\n".join(PROSE),
    ]


def test_a_table_on_its_side_is_read_as_it_is_shown() -> None:
    upright = read(STATEMENT).text
    assert "| Services | 310 | (12) |" in upright
    assert read(STATEMENT, turn=90).text == upright


def test_an_empty_cell_keeps_the_others_in_their_columns() -> None:
    page = [
        *row(660, "Station", "First", "Second", "Third"),
        *row(648, "Kittle Point", "1", "", "3"),
        *row(636, "Port Ellary", "", "25", ""),
        *row(624, "Garve Lock", "100", "200", "300"),
    ]
    assert read(page).text.splitlines()[2:] == [
        "| Kittle Point | 1 |  | 3 |",
        "| Port Ellary |  | 25 |  |",
        "| Garve Lock | 100 | 200 | 300 |",
    ]


def test_a_label_on_two_lines_stands_in_the_row_of_its_amounts() -> None:
    page = [
        *row(660, "Revenue", "10", "20"),
        ("Share of the profit of ventures that are not", 50, 640),
        *row(628, "consolidated", "30", "40"),
        *row(608, "Costs", "50", "60"),
        *row(588, "Taxes", "70", "80"),
    ]
    assert "| Share of the profit of ventures that are not consolidated | 30 | 40 |" in read(page).text


def test_header_cells_on_two_lines_are_joined_and_wide_ones_stand_over_their_first_column() -> None:
    page: list[Piece] = [
        ("Three months", 312, 690),
        ("Six months", 495, 690),
        *row(678, "", "Level", "Change", "Level", "Change"),
        *row(667, "", "(m)", "(m)", "(m)", "(m)"),
        *row(650, "Kittle Point", "1.20", "0.10", "1.30", "0.20"),
        *row(638, "Port Ellary", "2.20", "0.30", "2.40", "0.40"),
    ]
    assert read(page).text.splitlines()[:3] == [
        "|  | Three months |  | Six months |  |",
        "| --- | --- | --- | --- | --- |",
        "|  | Level (m) | Change (m) | Level (m) | Change (m) |",
    ]


def test_amounts_without_a_header_do_not_become_one() -> None:
    text = read(
        [*row(660, "For", "250,838,697"), *row(648, "Against", "746,982,272"), *row(636, "Abstain", "22,326")]
    )
    assert text.text.splitlines()[:3] == ["|  |  |", "| --- | --- |", "| For | 250,838,697 |"]


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert "| a\\|b | 1 | 2 |" in read([*row(660, "a|b", "1", "2"), *row(648, "c", "3", "4")]).text


def test_a_table_of_words() -> None:
    page = [
        *lines(700, "Code", "E01", "E07", "", "E08", step=20),
        *lines(700, "Meaning", "No echo", "Rain or spray", step=20, left=120),
        *lines(640 - 20, "Sending failed three times, each of them at night", left=120),
        *lines(
            700, "What to do", "Clear the beam", "Wait; if it lasts more than two hours", step=20, left=360
        ),
        ("clean the antenna", 360, 648),
        ("Check the modem", 360, 620),
    ]
    page.sort(key=lambda piece: (-piece[2], piece[1]))
    assert read([piece for piece in page if piece[0]]).text.splitlines() == [
        "| Code | Meaning | What to do |",
        "| --- | --- | --- |",
        "| E01 | No echo | Clear the beam |",
        "| E07 | Rain or spray | Wait; if it lasts more than two hours clean the antenna |",
        "| E08 | Sending failed three times, each of them at night | Check the modem |",
    ]


COLUMNS = [
    *lines(
        700, "In the left column 12 gauges", "are told of at some length so", "that it looks like prose 14"
    ),
    *lines(
        700,
        "The right column has 2025",
        "in its first line and tells of",
        "the 30 gauges of that year",
        left=320,
    ),
]
LISTS = [
    *lines(
        700, "1. Hold the button for five seconds until the light turns blue.", "2. Read the staff ten times."
    ),
    *lines(676, "3. Press the button again.", "4. Subtract the mean of the gauge from that of the staff."),
]
CONTENTS = lines(700, "1 Overview . . . . . . . . . . . . . 3", "2 Mounting . . . . . . . . . . . . . 5")


@pytest.mark.parametrize(
    "page", [lines(700, *PROSE), COLUMNS, LISTS, CONTENTS], ids=["prose", "columns", "list", "toc"]
)
def test_what_is_no_table_does_not_become_one(page: list[Piece]) -> None:
    assert "|" not in read(page).text


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    text = read(COLUMNS).text
    assert text.index("like prose 14") < text.index("The right column")


# --- words that a line's end broke ---


@pytest.mark.parametrize(
    ("broken", "others", "whole"),
    [
        (("An inter-", "national gauge"), "", "An international\ngauge"),
        (("The long-", "term lease"), "a long lease and a short term", "The long-term\nlease"),
        (("All third-", "party sales"), "its third-party sales", "All third-party\nsales"),
        (("Every non-", "taxable sale"), "", "Every non-taxable\nsale"),
        (("Our e-", "commerce pages"), "", "Our e-commerce\npages"),
        (("Every non-", "GAAP measure"), "", "Every non-GAAP\nmeasure"),
    ],
)
def test_a_broken_word_is_mended(broken: tuple[str, str], others: str, whole: str) -> None:
    text = read([*lines(700, *broken), *lines(500, others or "nothing else")]).text
    assert text.startswith(whole)


def test_a_hyphen_before_a_page_number_far_below_joins_nothing() -> None:
    assert read(
        [("our words are", 50, 712), ("cut off by e-", 50, 700), ("next page", 50, 60)]
    ).text.endswith("e-\n\nnext page")


def test_the_documents_own_words_decide_on_a_hyphen() -> None:
    known = Vocabulary([Page(1, [Line(["Co-operate", "cost", "effective"], [0, 0, 0], [9, 9, 9], 0, 10)])])
    assert known.joined("co-", "operate") == "co-operate"
    assert known.joined("cost-", "effective") == "cost-effective"
    assert known.joined("effec-", "tive") == "effective"
    assert known.joined("1999-", "2005") == ""


# --- headers, footers, page numbers ---


def book(count: int, *, header: Callable[[int], str], footer: Callable[[int], str]) -> list[list[Piece]]:
    """Pages of prose that differ, each with a header and a footer."""
    return [
        [
            (header(number), 50, 780),
            *lines(700, f"Words of page {number * 37}", *PROSE[:2], f"and its end {number * 91}"),
            (footer(number), 290, 20),
        ]
        for number in range(1, count + 1)
    ]


def test_running_lines_and_page_numbers_are_left_out() -> None:
    parsed = read(
        *book(6, header=lambda _: "Tide Tables 2026", footer=lambda number: f"Page {number + 2} of 8")
    )
    assert "Tide Tables" not in parsed.text
    assert "Page" not in parsed.text
    assert page_of(parsed, "Words of page 185") == 5
    assert parsed.pages == 6


def test_headers_of_left_and_right_pages() -> None:
    parsed = read(*book(10, header=lambda n: ("Left", "Right")[n % 2], footer=lambda n: f"F-{n}"))
    assert not {"Left", "Right", "F-3"} & set(parsed.text.split())


def test_a_line_that_few_pages_share_stays() -> None:
    parsed = read(
        *book(6, header=lambda n: "Annex" if n < 4 else f"Chapter {n * n}", footer=lambda n: f"{n * n * n}")
    )
    assert parsed.text.count("Annex") == 3
    assert "216" in parsed.text


def test_a_repeated_line_within_the_text_stays() -> None:
    pages = [
        lines(700, "One", "Two", "Three", "Four", "again", "Five", "Six", "Seven", "Eight") for _ in range(6)
    ]
    pages = [
        [(f"{text} {number * 7}" if text != "again" else text, x, y) for text, x, y, *_ in page]
        for number, page in enumerate(pages)
    ]
    assert read(*pages).text.count("again") == 6


# --- headings ---


def chapter(title: str, *sections: str) -> list[Piece]:
    made: list[Piece] = [(title, 50, 760, 16)]
    for index, section in enumerate(sections):
        top = 720 - 100 * index
        made += [(f"**{section}", 50, top), *lines(top - 14, *PROSE)]
    return made


def test_headings_are_known_by_their_looks() -> None:
    parsed = read(chapter("Mounting", "The bracket", "The wall"), chapter("Power", "The battery"))
    assert [(region.section, region.page) for region in parsed.regions] == [
        (("Mounting", "The bracket"), 1),
        (("Mounting", "The wall"), 1),
        (("Power", "The battery"), 2),
    ]


def test_bold_words_within_text_and_covers_are_no_headings() -> None:
    cover: list[Piece] = [("Heron H2", 200, 500, 30), ("**Operating Manual", 200, 450, 20)]
    text = [
        *lines(700, *PROSE),
        ("**Bold at the end of a paragraph", 50, 664),
        *lines(640, *PROSE),
        ("**Note:", 50, 590),
    ]
    assert {region.section for region in read(cover, text, text).regions} == {()}


# --- fonts without meaning, rare characters, forms ---


def raw(content: bytes, *objects: bytes, page: bytes = b"", catalog: bytes = b"") -> bytes:
    """A file of one page; object 4 is Helvetica, those given count from 6."""
    every = [
        b"<</Type/Catalog/Pages 2 0 R" + catalog + b">>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 4 0 R/U 6 0 R>>>>/Contents 5 0 R"
        + page
        + b">>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        *objects,
    ]
    body, offsets = b"%PDF-1.7\n", []
    for number, each in enumerate(every, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        body
        + b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
        % (
            len(every) + 1,
            table,
            len(every) + 1,
            len(body),
        )
    )


def unicode_font(*pairs: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Objects 6 and 7: a font whose characters (hex) mean others (UTF-16, hex)."""
    rows = b"\n".join(b"<%b> <%b>" % pair for pair in pairs)
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        b"1 begincodespacerange\n<00> <FF>\nendcodespacerange\n%d beginbfchar\n%b\nendbfchar\nendcmap end end"
    ) % (len(pairs), rows)
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding/ToUnicode 7 0 R>>"
    return font, b"<</Length %d>>stream\n%b\nendstream" % (len(cmap), cmap)


def test_characters_beyond_the_basic_plane_shift_no_word() -> None:
    font = unicode_font((b"41", b"D835DC34"), (b"42", b"0042"))
    table = b"".join(
        b"BT /U 10 Tf 50 %d Td (AB) Tj ET BT /F 10 Tf 300 %d Td (%d) Tj ET BT /F 10 Tf 400 %d Td (7) Tj ET "
        % (700 - 12 * index, 700 - 12 * index, index, 700 - 12 * index)
        for index in range(3)
    )
    assert parse_pdf(raw(table, *font), "math.pdf").text.splitlines()[2:] == [
        f"| \U0001d434B | {index} | 7 |" for index in range(3)
    ]


def test_a_text_layer_without_meaning_is_not_taken_for_text(reader: list[Any]) -> None:
    font = unicode_font((b"41", b"E001"), (b"42", b"0003"), (b"43", b"FFFD"))
    parsed = parse_pdf(raw(b"BT /U 10 Tf 50 700 Td (ABCABC ABAC CABAB) Tj ET", *font), "strange.pdf")
    assert (parsed.text, parsed.ocr_pages) == ("seen words", 1)


def test_what_was_filled_into_a_form_is_text() -> None:
    field = (
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(station)/V(Kittle Point)/Rect[200 695 400 712]/F 4/P 3 0 R"
        b"/DA(/Helv 10 Tf 0 g)>>"
    )
    form = b"/AcroForm<</Fields[7 0 R]/DR<</Font<</Helv 4 0 R>>>>/DA(/Helv 10 Tf 0 g)/NeedAppearances true>>"
    data = raw(
        b"BT /F 10 Tf 50 700 Td (Station:) Tj ET", b"null", field, page=b"/Annots[7 0 R]", catalog=form
    )
    assert parse_pdf(data, "form.pdf").text.split() == ["Station:", "Kittle", "Point"]


# --- what offsets mean ---


def test_passages_hold_the_text_without_loss() -> None:
    pages = book(5, header=lambda _: "Tide Tables 2026", footer=str)
    parsed = read(*pages, STATEMENT, lines(700, "An inter-", "national gauge"))
    made = passages(parsed, "d", "r", lambda texts: [len(text) for text in texts], 200)
    assert "".join(each.text for each in made) == parsed.text
    assert all(parsed.text[each.start : each.end] == each.text for each in made)
    assert {each.page for each in made if "Services" in each.text} == {6}


def test_paragraphs_are_parted_by_blank_lines() -> None:
    text = read([*lines(700, *PROSE), *lines(645, *PROSE)]).text
    assert text == "\n".join(PROSE) + "\n\n" + "\n".join(PROSE)


# --- pages that are images ---


def scan(*texts: str, size: tuple[int, int] = (1240, 1650)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for index, text in enumerate(texts):
        draw.text((150, 200 + 70 * index), text, font=ImageFont.load_default(40), fill="black")
    return image


def scanned(*images: Image.Image, with_text: bool = True, width: float = 595, height: float = 792) -> bytes:
    """A page of text, if wanted, then a page per image."""
    document = pypdfium2.PdfDocument(pdf(lines(700, *PROSE))) if with_text else pypdfium2.PdfDocument.new()
    for image in images:
        page = document.new_page(width, height)
        item = pypdfium2.PdfImage.new(document)
        item.set_bitmap(pypdfium2.PdfBitmap.from_pil(image))
        item.set_matrix(pypdfium2.PdfMatrix().scale(width, height))
        page.insert_obj(item)
        page.gen_content()
        page.close()
    out = io.BytesIO()
    document.save(out)
    document.close()
    return out.getvalue()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands in for recognition: says what it is shown, and that nobody keeps PDFium from others meanwhile."""
    shown: list[Any] = []

    def recognize(image: Image.Image) -> Recognized:
        assert not ingest.pdf.pdfium.LOCK.locked()
        shown.append(image)
        return Recognized("seen words", 0.75)

    monkeypatch.setattr(ingest.pdf.document, "recognize", recognize)
    return shown


def test_only_pages_without_text_are_recognized(reader: list[Any]) -> None:
    parsed = parse_pdf(scanned(scan("x")), "half.pdf")
    assert [(region.page, region.ocr) for region in parsed.regions] == [(1, None), (2, 0.75)]
    assert (parsed.pages, parsed.ocr_pages, parsed.empty_pages) == (2, 1, 0)
    assert parsed.text.endswith("\n\nseen words")
    assert [image.size for image in reader] == [(1653, 2200)]


def test_a_blank_page_is_counted_and_not_recognized(reader: list[Any]) -> None:
    parsed = read(lines(700, *PROSE), [], lines(700, "The end."))
    assert (parsed.pages, parsed.ocr_pages, parsed.empty_pages) == (3, 0, 1)
    assert page_of(parsed, "The end.") == 3
    assert not reader


def test_a_huge_page_is_drawn_within_bounds(reader: list[Any]) -> None:
    parse_pdf(scanned(scan("x"), with_text=False, width=14_000, height=14_000), "poster.pdf")
    assert [image.size for image in reader] == [(2000, 2000)]


def test_an_image_without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.pdf.document, "recognize", lambda _: Recognized("", 0.0))
    with pytest.raises(SourceEmpty, match=r"photo\.pdf.*no text was recognized"):
        parse_pdf(scanned(scan(), with_text=False), "photo.pdf")


@pytest.mark.models
def test_a_scan_is_read() -> None:
    parsed = parse_pdf(scanned(scan("The gauge stops at noon.", "Call the harbour office.")), "scan.pdf")
    assert "The gauge stops at noon." in parsed.text
    assert page_of(parsed, "Call the harbour") == 2
    assert parsed.regions[-1].ocr is not None
    assert 0.8 < parsed.regions[-1].ocr <= 1


@pytest.mark.models
def test_nothing_to_read_in_an_image() -> None:
    with pytest.raises(SourceEmpty, match="no text was recognized"):
        parse_pdf(scanned(scan(), with_text=False), "photo.pdf")
