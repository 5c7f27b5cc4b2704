"""Bytes to normalized text: one parser per media type."""

from __future__ import annotations

from ingest.code.notebook import parse_notebook
from ingest.code.parser import parse_code
from ingest.formats.image import parse_image
from ingest.formats.legacy import libreoffice, parse_doc, parse_ppt
from ingest.formats.mail import parse_email, parse_message
from ingest.formats.markdown import parse_markdown
from ingest.formats.markup import parse_asciidoc, parse_rst
from ingest.formats.opendocument import parse_odp, parse_odt
from ingest.formats.pandoc import parse_docx, parse_epub, parse_rtf
from ingest.formats.plain import parse_plain
from ingest.formats.second import read_again
from ingest.formats.slides import parse_pptx
from ingest.formats.spreadsheet import parse_spreadsheet
from ingest.formats.web import parse_html
from ingest.formats.xml_text import parse_xml
from ingest.media_types import ARCHIVES, MEDIA_TYPES
from ingest.parsed import Parsed, Parser
from ingest.pdf.document import parse_pdf
from rag.errors import SourceCorrupt, SourceEmpty, SourceUnsupported

# By parser: its version, and the extensions whose media types it reads. Raise a version whenever its parser gives
# another text or other regions: its files, and only these, are then read again.
_TABLE: dict[Parser, tuple[int, str]] = {
    parse_pdf: (3, ".pdf"),
    parse_docx: (2, ".docx"),
    parse_pptx: (2, ".pptx"),
    parse_spreadsheet: (2, ".xlsx .xls .xlsb .ods"),
    parse_doc: (1, ".doc"),
    parse_ppt: (1, ".ppt"),
    parse_odt: (1, ".odt"),
    parse_odp: (1, ".odp"),
    parse_rtf: (1, ".rtf"),
    parse_epub: (2, ".epub"),
    parse_html: (2, ".html .xhtml"),
    parse_message: (2, ".msg"),
    parse_email: (2, ".eml"),
    parse_markdown: (1, ".md"),
    parse_rst: (1, ".rst"),
    parse_asciidoc: (1, ".adoc"),
    parse_notebook: (2, ".ipynb"),
    parse_image: (2, ".png .jpg .tif .bmp .webp .gif"),
    parse_xml: (1, ".xml .svg"),
    parse_code: (
        1,
        ".py .js .ts .java .kt .scala .go .rs .c .cpp .cu .cs .rb .php .swift .sh .sql .css .lua .r",
    ),
    # And every text/ type that has no parser of its own.
    parse_plain: (1, ".json .jsonl .toml .yaml .srt"),
}
PARSERS = {
    MEDIA_TYPES[suffix]: parser for parser, (_, suffixes) in _TABLE.items() for suffix in suffixes.split()
}
# Text of these comes from another program where that is installed.
_LEGACY = (parse_doc, parse_ppt)

# Formats that are known and not read as documents, and the way out.
INSTEAD = {
    **dict.fromkeys(ARCHIVES, "Ingest it as a file: each document within is read as one of its own."),
    MEDIA_TYPES[".7z"]: "Unpack it and ingest the folder, or pack it as .zip.",
    MEDIA_TYPES[".rar"]: "Unpack it and ingest the folder, or pack it as .zip.",
}


def parser_version(media_type: str) -> str:
    """Part of a document's revision: what would read such a file, ``parse_pdf 1``; "" for what nothing reads.

    It changes, too, when LibreOffice is installed: old Word and PowerPoint files are then read again.
    """
    parser = _parser(media_type)
    if parser is None:
        return ""
    helper = " with LibreOffice" if parser in _LEGACY and libreoffice() else ""
    return f"{parser.__name__} {_TABLE[parser][0]}{helper}"


def parse(data: bytes, name: str, media_type: str) -> Parsed:
    """``name`` is the file's name as people know it; it stands in for a missing title and in messages.
    What its parser refuses is tried with a second one, where there is one (ingest/formats/second.py).

    Raises SourceEmpty (no bytes, no text), SourceCorrupt and SourceUnsupported, each naming the file.
    """
    parser = _parser(media_type)
    if parser is None:
        raise SourceUnsupported(
            f"{name} is of a type that openbook does not read ({media_type}).",
            INSTEAD.get(media_type, "Convert it to PDF, DOCX, HTML, Markdown or plain text."),
        )
    if not data:
        raise SourceEmpty(f"{name} is empty (0 bytes).", "Check that it was saved or downloaded whole.")
    try:
        parsed = parser(data, name)
    except (SourceCorrupt, SourceUnsupported):
        again = read_again(data, name, media_type)
        if again is None:
            raise
        return again
    if not parsed.text.strip():
        raise SourceEmpty(
            f"{name} holds no text.", "Open it: if it shows text, save it as PDF and ingest that."
        )
    return parsed


def _parser(media_type: str) -> Parser | None:
    return PARSERS.get(media_type) or (parse_plain if media_type.startswith("text/") else None)
