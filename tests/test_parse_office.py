"""Office files, web pages, mail, spreadsheets, slides and images: made here, read by the real parsers."""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from email.message import EmailMessage
from typing import Any

import pytest

from ingest.formats import legacy
from ingest.formats.legacy import parse_doc, parse_ppt
from ingest.formats.office_files import has_cycle
from ingest.formats.spreadsheet import shown
from ingest.media_types import MEDIA_TYPES
from ingest.parse import parse, parser_version
from ingest.parsed import Parsed, Region
from rag.errors import SourceCorrupt, SourceEmpty, SourceError, SourceUnsupported

DOCX, PPTX, XLSX, ODT, ODP, EPUB, RTF, MSG, EML = (
    MEDIA_TYPES[suffix] for suffix in ".docx .pptx .xlsx .odt .odp .epub .rtf .msg .eml".split()
)


def at(parsed: Parsed, phrase: str) -> Region:
    """The region that holds ``phrase``."""
    offset = parsed.text.index(phrase)
    return [region for region in parsed.regions if region.start <= offset][-1]


def refuse(data: bytes, media_type: str, error: type[SourceError]) -> SourceError:
    with pytest.raises(error) as raised:
        parse(data, "some.file", media_type)
    assert "some.file" in raised.value.message
    assert raised.value.hint
    return raised.value


def zipped(**parts: str) -> bytes:
    """A ZIP file; "__" in a name stands for a dot, as in content__xml."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


# --- web pages ---


def html(body: str) -> Parsed:
    return parse(f"<html><body>{body}</body></html>".encode(), "page.html", "text/html")


def test_html_headings_lists_tables_and_code() -> None:
    parsed = html(
        "<h1>Gauge</h1><p>A&nbsp;word.</p><ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>"
        "<h2>Codes</h2><table><caption>All codes</caption><tr><th>E01</th><td>No echo</td></tr></table>"
        "<pre class='language-py'>  x = 1\n  y = 2</pre><ol start='3'><li>three</li></ol>"
    )
    assert parsed.title == "Gauge"
    assert parsed.text == (
        "# Gauge\n\nA word.\n\n- one\n  - inner\n- two\n\n## Codes\n\nAll codes\n\n| E01 | No echo |\n| --- | --- |\n\n"
        "```py\nx = 1\ny = 2\n```\n\n3. three"
    )
    assert at(parsed, "E01").section == ("Gauge", "Codes")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>10<sup>6</sup> l of H<sub>2</sub>O</p>", "10⁶ l of H2O"),
        ("<p>the 2<sup>nd</sup> tide</p>", "the 2nd tide"),
        ("one<div>two</div>three <b>four</b><p>five<br>six", "one\n\ntwo\n\nthree four\n\nfive\nsix"),
        ("<dl><dt>ebb</dt><dd>falling water</dd></dl>", "ebb\n: falling water"),
        ("<p>a <span hidden>b</span><span style='display: none'>c</span> d</p><script>e</script>", "a d"),
        ("<p>x<img alt='A gauge on a pier'><img alt='logo'></p>", "x [image: A gauge on a pier]"),
        ("<p><input type=checkbox checked> salt</p>", "[x] salt"),
        ("<ul><li><p>one</p><p>more</p><pre>x</pre></li></ul>", "- one\n  more\n\n```\nx\n```"),
        ("<ul><li><a href='https://x.example'>link</a></li></ul>", "- link"),
        ("<table role=presentation><tr><td><p>a</p></td><td><p>b</p></td></tr></table>", "a\n\nb"),
        ("<p>a</p><!-- b --><p>c</p>", "a\n\nc"),
    ],
)
def test_html_as_text(body: str, text: str) -> None:
    assert html(body).text == text


def test_what_leads_to_other_pages_is_left_out() -> None:
    menu = "<nav>home</nav><div role='navigation'>contents</div>"
    words = "<p>The level rose until noon and then it fell again.</p>"
    assert html(f"{menu}above{words}").text == "above\n\nThe level rose until noon and then it fell again."
    page = f"<header>Site</header>{menu}<main>{menu}{words}</main><footer>Imprint</footer>"
    assert html(page).text == "The level rose until noon and then it fell again."
    assert html(f"<main>{words}</main>{words * 3}").text.count("level") == 4
    assert html(menu).text == "home\n\ncontents"


def test_html_says_its_encoding() -> None:
    page = "<html><head><meta charset='cp1251'><title>Прилив</title></head><body><p>Уровень воды</p></body></html>"
    parsed = parse(page.encode("cp1251"), "a.html", "text/html")
    assert (parsed.title, parsed.text) == ("Прилив", "Уровень воды")


def test_html_without_words() -> None:
    refuse(b"<html><body><img src='a.png'></body></html>", "text/html", SourceEmpty)
    refuse(b"<!-- nothing -->", "text/html", SourceEmpty)


@pytest.mark.parametrize("tag", ["div", "b", "ul><li", "table><tr><td", "dl><dd"])
def test_deep_nesting_is_read_or_refused(tag: str) -> None:
    opening, closing = f"<{tag}>", "".join(f"</{part}>" for part in reversed(tag.split("><")))
    try:
        parsed = html(opening * 3000 + "words" + closing * 3000)
    except SourceError:
        return
    assert "words" in parsed.text


# --- mail ---


def mail(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for key, value in headers.items():
        message[key] = value
    return message


def test_mail_names_its_attachments() -> None:
    message = mail(From="Jörg <j@x.example>", Subject="Level")
    message.set_content("See the file.")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="a.pdf")
    parsed = parse(message.as_bytes(), "a.eml", EML)
    assert parsed.title == "Level"
    assert parsed.text == "From: Jörg <j@x.example>\nSubject: Level\nAttachments: a.pdf\n\nSee the file."


def test_mail_in_html_keeps_where_links_lead() -> None:
    message = mail(Subject="Level")
    message.set_content("See it.")
    message.add_alternative("<p>See <a href='https://x.example/a'>it</a>.</p>", subtype="html")
    assert parse(message.as_bytes(), "a.eml", EML).text == "Subject: Level\n\nSee [it](https://x.example/a)."


def test_lines_that_the_mail_program_broke_are_joined() -> None:
    message = mail(Subject="Level")
    long = "This line is as long as a mail program lets lines be, and then it goes on"
    message.set_content(
        f"{long}\nin the next.\n\n- {long}\n- second\n\n> quoted\n> twice\n\nInes\nHarbour office\n"
    )
    assert parse(message.as_bytes(), "a.eml", EML).text == (
        f"Subject: Level\n\n{long} in the next.\n\n- {long}\n- second\n\n> quoted\n> twice\n\nInes\nHarbour office"
    )


def test_all_texts_of_a_mail_are_read() -> None:
    message = mail(Subject="Level")
    message.set_content("Above the picture.")
    message.make_mixed()
    footer = EmailMessage()
    footer.set_content("You get this from the list.")
    message.attach(footer)
    assert parse(message.as_bytes(), "a.eml", EML).text.endswith("picture.\n\nYou get this from the list.")


def test_a_file_that_is_no_mail() -> None:
    refuse(b"just words", EML, SourceCorrupt)


# --- spreadsheets ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.0, "7"),
        (0.1 + 0.2, "0.3"),
        (-1.5e20, "-1.5e+20"),
        (True, "TRUE"),
        (date(2026, 5, 3), "2026-05-03"),
        (datetime(2026, 5, 3), "2026-05-03"),
        (datetime(2026, 5, 3, 4, 5), "2026-05-03 04:05:00"),
        (time(4, 5), "04:05:00"),
        (" two\nlines ", "two lines"),
        ("", ""),
    ],
)
def test_cells_as_a_person_reads_them(value: object, text: str) -> None:
    assert shown(value) == text


def workbook() -> bytes:
    import openpyxl  # type: ignore[import-untyped]
    from openpyxl.comments import Comment  # type: ignore[import-untyped]

    book = openpyxl.Workbook()
    first = book.active
    first.title = "Levels"
    for row in (
        ["Levels in May"],
        [],
        ["Station", None, "m"],
        ["Skerrow", None, 3.0],
        ["a|b", None, date(2026, 5, 3)],
    ):
        first.append(row)
    first["C4"].comment = Comment("Read by hand.", "Ines")
    hidden = book.create_sheet("Notes")
    hidden.sheet_state = "hidden"
    hidden["D9"] = "far away"
    book.create_sheet("Empty")
    return saved(book)


@pytest.mark.models
def test_sheets_tables_hidden_sheets_and_comments() -> None:
    parsed = parse(workbook(), "a.xlsx", XLSX)
    assert parsed.text == (
        "Levels in May\n\n| Station | m |\n| --- | --- |\n| Skerrow | 3 |\n| a\\|b | 2026-05-03 |\n\n"
        "Comment on C4 by Ines: Read by hand.\n\nfar away"
    )
    assert [region.sheet for region in parsed.regions] == ["Levels", "Notes"]


# --- slides ---


@pytest.mark.models
def test_slides_are_pages() -> None:
    import pptx

    deck = pptx.Presentation()
    for title in ("Ebb", "Flood"):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = f"Water in {title}"
    parsed = parse(saved(deck), "tides.pptx", PPTX)
    assert (parsed.title, parsed.pages) == ("Ebb", 2)
    assert parsed.text == "# Ebb\n\n- Water in Ebb\n\n# Flood\n\n- Water in Flood"
    assert at(parsed, "Water in Flood") == Region(parsed.text.index("# Flood"), ("Flood",), page=2)


@pytest.mark.models
def test_all_that_a_slide_shows_and_its_notes() -> None:
    import pptx
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 10, 10).text_frame.text = "in a group"
    table = slide.shapes.add_table(2, 2, 0, 1_000_000, 100, 100).table
    for index, word in enumerate(("a", "b", "c", "d")):
        table.cell(index // 2, index % 2).text = word
    data: Any = CategoryChartData()  # type: ignore[no-untyped-call]
    data.categories = ["May", "June"]
    data.add_series("Level", (3.5, 4))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 2_000_000, 100, 100, data)
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    parsed = parse(saved(deck), "a.pptx", PPTX)
    assert parsed.text == (
        "in a group\n\n| a | b |\n| --- | --- |\n| c | d |\n\n"
        "|  | Level |\n| --- | --- |\n| May | 3.5 |\n| June | 4 |\n\nNotes: Say it slowly."
    )


# --- Word ---


def word(fill: Callable[[Any], None]) -> Parsed:
    import docx

    document = docx.Document()
    fill(document)
    return parse(saved(document), "a.docx", DOCX)


@pytest.mark.models
def test_headers_footers_and_styles_of_a_docx() -> None:
    def fill(document: Any) -> None:
        document.add_paragraph("In short", style="Subtitle")
        document.add_heading("Gauge", 1)
        document.add_paragraph("Words.")
        document.sections[0].header.paragraphs[0].text = "Secret"
        document.sections[0].footer.paragraphs[0].text = "12"

    parsed = word(fill)
    assert parsed.text == "In short\n\n# Gauge\n\nWords.\n\nPage header: Secret"
    assert [region.section for region in parsed.regions] == [(), ("Gauge",), ()]


@pytest.mark.models
def test_a_style_with_an_outline_level_is_a_heading() -> None:
    def fill(document: Any) -> None:
        style = document.styles.add_style("Kapitel", 1)
        level = style.element.get_or_add_pPr().makeelement(
            "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}outlineLvl",
            {"{http://schemas.openxmlformats.org/wordprocessingml/2006/main}val": "1"},
        )
        style.element.pPr.append(level)
        document.add_paragraph("Pegel", style="Kapitel")
        document.add_paragraph("Worte.")

    assert word(fill).text == "## Pegel\n\nWorte."


@pytest.mark.models
@pytest.mark.parametrize("media_type", [DOCX, PPTX, XLSX, EPUB, MSG, ODT, ODP])
@pytest.mark.parametrize("data", [b"not what it says", b"PK\x03\x04 cut short", zipped(word__xml="<w/>")])
def test_corrupt_office_files(media_type: str, data: bytes) -> None:
    refuse(data, media_type, SourceCorrupt)


@pytest.mark.parametrize("media_type", [DOCX, PPTX, XLSX])
def test_an_office_file_with_a_password(media_type: str) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le")
    assert "password" in refuse(data, media_type, SourceCorrupt).message


@pytest.mark.models
def test_rtf() -> None:
    data = rb"{\rtf1\ansi Tide {\b level}\par \trowd\cellx1000\cellx2000\intbl a\cell\intbl b\cell\row}"
    assert parse(data, "a.rtf", RTF).text == "Tide level\n\n| a | b |\n| --- | --- |"


@pytest.mark.models
@pytest.mark.parametrize(
    ("word", "page"), [("Прилив", 1251), ("Größe", 1252), ("潮位表", 932), ("tide", 99999)]
)
def test_rtf_in_the_code_page_that_it_names(word: str, page: int) -> None:
    encoding = f"cp{page}" if page != 99999 else "cp1252"
    escaped = "".join(f"\\'{byte:02x}" for byte in word.encode(encoding))
    data = f"{{\\rtf1\\ansi\\ansicpg{page} a\\\\'e4 {escaped} b\\par}}".encode()
    assert parse(data, "a.rtf", RTF).text == f"a\\'e4 {word} b"


# --- OpenDocument ---

_SPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for short, name in {
        "office": "office", "text": "text", "table": "table", "style": "style", "draw": "drawing",
        "presentation": "presentation", "svg": "svg-compatible",
    }.items()
)  # fmt: skip


def open_document(body: str, styles: str = "") -> bytes:
    content = (
        f"<office:document-content {_SPACES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body>{body}</office:body></office:document-content>"
    )
    return zipped(content__xml=content)


def test_odt() -> None:
    body = (
        "<office:text><text:p text:style-name='P1'>Tides</text:p><text:h text:outline-level='2'>Ebb</text:h>"
        "<text:p>10<text:span text:style-name='T1'>3</text:span><text:s text:c='2'/>m<text:note><text:note-citation>1"
        "</text:note-citation><text:note-body><text:p>about</text:p></text:note-body></text:note></text:p>"
        "<text:list text:style-name='L1'><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>in"
        "</text:p></text:list-item></text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell table:number-columns-spanned='2'><text:p>wide</text:p>"
        "</table:table-cell><table:covered-table-cell/><table:table-cell><text:p>c</text:p></table:table-cell>"
        "</table:table-row></table:table></office:text>"
    )
    styles = (
        "<style:style style:name='P1' style:family='paragraph' style:parent-style-name='Title'/>"
        "<style:style style:name='T1'><style:text-properties style:text-position='super 58%'/></style:style>"
        "<text:list-style style:name='L1'><text:list-level-style-number text:level='1' style:num-format='1'/>"
        "<text:list-level-style-bullet text:level='2'/></text:list-style>"
    )
    parsed = parse(open_document(body, styles), "a.odt", ODT)
    assert parsed.title == "Tides"
    assert parsed.text == (
        "# Tides\n\n## Ebb\n\n10³ m [note: about]\n\n1. one\n  - in\n\n| wide |  | c |\n| --- | --- | --- |"
    )
    assert at(parsed, "wide").section == ("Tides", "Ebb")


def test_odp() -> None:
    body = (
        "<office:presentation><draw:page><draw:frame svg:y='9cm'><draw:text-box><text:p>below</text:p></draw:text-box>"
        "</draw:frame><draw:frame presentation:class='title'><draw:text-box><text:p>Ebb</text:p></draw:text-box>"
        "</draw:frame><presentation:notes><draw:frame><draw:text-box><text:p>slowly</text:p></draw:text-box>"
        "</draw:frame></presentation:notes></draw:page><draw:page/></office:presentation>"
    )
    parsed = parse(open_document(body), "a.odp", ODP)
    assert (parsed.text, parsed.pages) == ("# Ebb\n\nbelow\n\nNotes:\n\nslowly", 2)
    assert {region.page for region in parsed.regions} == {1}


@pytest.mark.models
def test_odt_that_would_fill_the_memory() -> None:
    body = "<office:text><table:table><table:table-row table:number-rows-repeated='999999'>"
    body += "<table:table-cell table:number-columns-repeated='999999'><text:p>x</text:p></table:table-cell>"
    body += "</table:table-row></table:table></office:text>"
    assert len(parse(open_document(body), "a.odt", ODT).text) < 100_000


# --- old binary files ---


def compound_file(after_directory: int = 0xFFFFFFFE) -> bytes:
    """The smallest OLE file: a header, the table of sectors, and a directory with nothing but its root. [MS-CFB]"""
    none, end = 0xFFFFFFFF, 0xFFFFFFFE
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<5H6x9I", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, end, 0, end, 0)
    head += struct.pack("<109I", 0, *[none] * 108)
    table = struct.pack("<128I", 0xFFFFFFFD, after_directory, *[none] * 126)
    root = "Root Entry".encode("utf-16-le").ljust(64, b"\0") + struct.pack(
        "<HBB3I", 22, 5, 1, none, none, none
    )
    root += bytes(36) + struct.pack("<IQ", end, 0)
    return head + table + root.ljust(512, b"\0")


OLD = compound_file()


def test_an_old_file_that_nothing_reads_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "libreoffice", lambda: None)
    for suffix, package in ((".doc", "libreoffice-writer-nogui"), (".ppt", "libreoffice-impress-nogui")):
        assert package in refuse(OLD, MEDIA_TYPES[suffix], SourceUnsupported).hint


def test_old_files_are_read_again_once_libreoffice_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = []
    for program in (None, "soffice"):
        monkeypatch.setattr("ingest.parse.libreoffice", lambda program=program: program)
        versions.append((parser_version("application/msword"), parser_version(DOCX)))
    assert versions[0][0] != versions[1][0]
    assert versions[0][1] == versions[1][1]


def test_a_doc_that_is_a_web_page() -> None:
    assert parse(b"<html><body><h1>Tides</h1></body></html>", "a.doc", MEDIA_TYPES[".doc"]).text == "# Tides"
    refuse(b"\x01\x02 something else", MEDIA_TYPES[".ppt"], SourceCorrupt)


@pytest.mark.models
@pytest.mark.skipif(not shutil.which("soffice"), reason="needs LibreOffice")
@pytest.mark.parametrize("reader", [parse_doc, parse_ppt])
def test_libreoffice_says_what_it_cannot_convert(reader: Callable[[bytes, str], Parsed]) -> None:
    with pytest.raises(SourceError, match=r"some\.file"):
        reader(OLD, "some.file")


# --- images ---


def picture(*texts: str, kind: str = "PNG") -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    pages = [Image.new("RGB", (700, 200), "white") for _ in texts]
    for page, text in zip(pages, texts, strict=True):
        ImageDraw.Draw(page).text((60, 60), text, font=ImageFont.load_default(36), fill="black")
    out = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}
    pages[0].save(out, kind, **more)
    return out.getvalue()


@pytest.mark.models
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"])
def test_text_in_images(kind: str) -> None:
    parsed = parse(picture("Level of the water", kind=kind), "a", MEDIA_TYPES[f".{kind.lower()}"])
    assert (parsed.text, parsed.pages, parsed.ocr_pages, parsed.empty_pages) == (
        "Level of the water",
        1,
        1,
        0,
    )
    assert parsed.regions[0].page is None
    assert (parsed.regions[0].ocr or 0) > 0.8


@pytest.mark.models
def test_pages_of_a_tiff() -> None:
    parsed = parse(picture("First page", "", "Third page", kind="TIFF"), "a.tif", "image/tiff")
    assert (parsed.text, parsed.pages, parsed.ocr_pages, parsed.empty_pages) == (
        "First page\n\nThird page",
        3,
        2,
        1,
    )
    assert [region.page for region in parsed.regions] == [1, 3]


@pytest.mark.models
def test_images_without_text_and_what_is_no_image() -> None:
    refuse(picture(""), "image/png", SourceEmpty)
    refuse(b"\x89PNG\r\n\x1a\n and then nothing", "image/png", SourceCorrupt)
    refuse(picture("words")[:200], "image/png", SourceCorrupt)


# --- damaged OLE files ---


@pytest.mark.parametrize(
    ("following", "endless"),
    [
        ([], False),
        ([1, 2, 0xFFFFFFFE], False),
        ([0], True),
        ([2, 0xFFFFFFFF, 3, 2], True),
        ([1, 1], True),
        ([9], False),
    ],
)
def test_a_chain_of_sectors_that_comes_back_to_itself(following: list[int], endless: bool) -> None:
    assert has_cycle(following) is endless


@pytest.mark.parametrize("suffix", [".xls", ".doc", ".ppt"])
@pytest.mark.parametrize("data", [OLD[:100], compound_file(after_directory=1)])
def test_a_damaged_ole_file(suffix: str, data: bytes) -> None:
    refuse(data, MEDIA_TYPES[suffix], SourceCorrupt)
