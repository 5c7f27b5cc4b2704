"""Bytes to normalized text: one parser per media type."""

from __future__ import annotations

from ingest.mail import parse_email, parse_message
from ingest.markdown import parse_markdown
from ingest.media_types import ARCHIVES
from ingest.office import parse_docx, parse_epub, parse_html, parse_pptx, parse_xlsx
from ingest.parsed import Parsed, Parser
from ingest.pdf import parse_pdf
from ingest.plain import parse_plain
from rag.errors import SourceEmpty, SourceUnsupported

PARSERS: dict[str, Parser] = {
    "application/pdf": parse_pdf,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": parse_docx,
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": parse_pptx,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": parse_xlsx,
    "application/vnd.ms-excel": parse_xlsx,
    "application/epub+zip": parse_epub,
    "application/xhtml+xml": parse_html,
    "application/vnd.ms-outlook": parse_message,
    "message/rfc822": parse_email,
    "text/html": parse_html,
    "text/markdown": parse_markdown,
    "application/json": parse_plain,
    "application/toml": parse_plain,
    "application/xml": parse_plain,
    "application/yaml": parse_plain,
}

# Raise a parser's number whenever it gives another text or other regions: its files are then read again.
_VERSIONS: dict[Parser, int] = {
    parse_pdf: 1,
    parse_docx: 1,
    parse_pptx: 1,
    parse_xlsx: 1,
    parse_epub: 1,
    parse_html: 1,
    parse_message: 1,
    parse_email: 1,
    parse_markdown: 1,
    parse_plain: 1,
}

# Formats that are known and not read as documents, and the way out.
INSTEAD = {
    **dict.fromkeys(ARCHIVES, "Ingest it as a file: each document within is read as one of its own."),
    "application/msword": "Save it as .docx and ingest that.",
    "application/vnd.ms-powerpoint": "Save it as .pptx and ingest that.",
    "application/rtf": "Save it as .docx and ingest that.",
    "application/vnd.oasis.opendocument.text": "Save it as .docx and ingest that.",
    "application/vnd.oasis.opendocument.spreadsheet": "Save it as .xlsx and ingest that.",
    "application/vnd.oasis.opendocument.presentation": "Save it as .pptx and ingest that.",
}


def parser_version(media_type: str) -> str:
    """Part of a document's revision: what would read such a file, ``parse_pdf 1``; "" for what nothing reads."""
    parser = _parser(media_type)
    return f"{parser.__name__} {_VERSIONS[parser]}" if parser else ""


def parse(data: bytes, name: str, media_type: str) -> Parsed:
    """``name`` is the file's name as people know it; it stands in for a missing title and in messages.

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
    parsed = parser(data, name)
    if not parsed.text.strip():
        raise SourceEmpty(f"{name} holds no text.", "Text within images and drawings is not read.")
    return parsed


def _parser(media_type: str) -> Parser | None:
    return PARSERS.get(media_type) or (parse_plain if media_type.startswith("text/") else None)
