"""E-mail: the headers that people ask about, then the body. Attachments are named, not read."""

from __future__ import annotations

import email
import email.policy
import io
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any

from ingest.office import Writer, partition
from ingest.parsed import Parsed
from rag.errors import SourceCorrupt

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def parse_email(data: bytes, name: str) -> Parsed:
    """RFC 5322 and MIME. Raises SourceCorrupt for a file without any header."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    headers = {key: str(message[key] or "").strip() for key in _HEADERS}
    if not any(headers.values()):
        raise SourceCorrupt(f"{name} is no e-mail message: it has no headers.", "Export it again as .eml.")
    attached = [part.get_filename() or "unnamed" for part in message.iter_attachments()]
    elements = partition("email", name, file=io.BytesIO(data), process_attachments=False)
    return _write(name, headers, attached, elements)


def parse_message(data: bytes, name: str) -> Parsed:
    """Outlook's .msg."""
    elements = partition("msg", name, file=io.BytesIO(data), process_attachments=False)
    if not elements:
        return Parsed("", name, ())
    first = elements[0].metadata
    headers = {
        "From": _people(first.sent_from),
        "To": _people(first.sent_to),
        "Date": first.last_modified or "",
        "Subject": first.subject or "",
    }
    return _write(name, headers, [], elements)


def _people(addresses: list[str] | None) -> str:
    """RFC 2047 encoded names decoded."""
    return ", ".join(str(make_header(decode_header(each))) for each in addresses or () if each.strip())


def _write(name: str, headers: dict[str, str], attached: list[str], elements: list[Any]) -> Parsed:
    lines = [f"{key}: {' '.join(value.split())}" for key, value in headers.items() if value]
    if attached:
        lines.append(f"Attachments (not read): {', '.join(attached)}")
    writer = Writer(lambda _, depth: depth is not None)
    writer.head("\n".join(lines))
    return writer.write(elements).finish(name, " ".join(headers["Subject"].split()))
