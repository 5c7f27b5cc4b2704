"""E-mail: the headers that people ask about, then the body. Attachments are named here and read by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import PurePosixPath
from typing import Any

from ingest.formats.html_blocks import HtmlWriter
from ingest.formats.mime import attached_parts, read_message, text_parts
from ingest.formats.plain import clean, decode
from ingest.formats.web import html_tree, write_tree
from ingest.parsed import Parsed
from rag.errors import SourceCorrupt

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
# A line that is so long, in characters, was broken by the mail program, not by its writer.
_WRAPPED = 60
_OWN_LINE = re.compile(r"\s*(?:[>|]|[-*•–—]\s|\(?\w{1,3}[.)]\s|\t)|\s{4}")


def parse_email(data: bytes, name: str) -> Parsed:
    """RFC 5322 and MIME. Raises SourceCorrupt for a file without any header."""
    try:
        message = read_message(data)
        headers = {key: str(message[key] or "") for key in _HEADERS}
        texts = [_content(part) for part in text_parts(message)]
        attached = [each for each, _ in attached_parts(message)]
    except Exception as exc:
        # The standard library's parser of addresses and parameters raises whatever it stumbles over.
        raise _corrupt(name, exc) from exc
    if not any(value.strip() for value in headers.values()):
        raise SourceCorrupt(f"{name} is no e-mail message: it has no headers.", "Export it again as .eml.")
    return _write(name, headers, attached, texts)


def parse_message(data: bytes, name: str) -> Parsed:
    """Outlook's .msg."""
    from oxmsg import Message

    try:
        message = Message.load(data)
        headers = _outlook_headers(message)
        html, plain = message.html_body, message.body
        attached = [each.file_name or "unnamed" for each in message.attachments]
    except Exception as exc:
        # olefile and oxmsg let errors of struct, of codecs and their own pass.
        raise _corrupt(name, exc) from exc
    texts = [("html", html)] if html and html.strip() else [("plain", plain or "")]
    return _write(name, headers, attached, texts)


def _outlook_headers(message: Any) -> dict[str, str]:
    """Outlook's own fields, which are what it shows; those of the message as it came where there are none."""
    from oxmsg.domain import constants

    sent, text = message.message_headers, message.properties.str_prop_value
    address = text(constants.PID_SENDER_SMTP_ADDRESS) or text(constants.PID_SENDER_EMAIL_ADDRESS) or ""
    sender = _person(text(constants.PID_SENDER_NAME) or "", address)
    people = [_person(each.name, each.email_address) for each in message.recipients]
    copy = _decoded(sent.get("Cc", ""))
    shown = [person for person in people if person and person not in copy]
    return {
        "From": sender or _decoded(message.sender or ""),
        "To": ", ".join(shown) or _decoded(sent.get("To", "")),
        "Cc": copy,
        "Date": sent.get("Date", "") or str(message.sent_date or ""),
        "Subject": message.subject,
    }


def _person(name: str, address: str) -> str:
    """Addresses within Exchange are no addresses for people."""
    if "@" not in address or address == name:
        return name
    return f"{name} <{address}>" if name else address


def _decoded(value: str) -> str:
    """RFC 2047 encoded words decoded."""
    return str(make_header(decode_header(value))) if value.strip() else ""


def _content(part: EmailMessage) -> tuple[str, str]:
    data = part.get_payload(decode=True)
    text = decode(data, "the body", part.get_content_charset()) if isinstance(data, bytes) else ""
    return part.get_content_subtype(), text


def _write(
    name: str, headers: dict[str, str], attached: Iterable[str], texts: Iterable[tuple[str, str]]
) -> Parsed:
    lines = [f"{key}: {clean(value, ' ')}" for key, value in headers.items() if value.strip()]
    if names := [clean(each, " ") for each in attached]:
        lines.append(f"Attachments: {', '.join(names)}")
    writer = HtmlWriter(links=True)
    writer.note("\n".join(lines))
    for kind, text in texts:
        if kind == "html":
            tree = html_tree(text)
            if tree is not None:
                write_tree(writer, tree, name)
        else:
            for paragraph in re.split(r"\n(?:[ \t]*\n)+", clean(text)):
                writer.paragraph(_joined(paragraph))
    return writer.finish(name, clean(headers["Subject"], " ") or PurePosixPath(name).name)


def _joined(paragraph: str) -> str:
    """A paragraph that a mail program broke into lines of its own width as one line again."""
    lines = paragraph.strip("\n").split("\n")
    joined = lines[:1]
    for line in lines[1:]:
        wrapped = len(joined[-1].rpartition("\n")[2]) >= _WRAPPED and not _OWN_LINE.match(line)
        joined[-1:] = [f"{joined[-1]} {line.strip()}"] if wrapped else [joined[-1], line]
    return "\n".join(joined)


def _corrupt(name: str, error: Exception) -> SourceCorrupt:
    return SourceCorrupt(
        f"{name} cannot be read as an e-mail message ({type(error).__name__}: {str(error)[:120]}).",
        "Open it in a mail program; if that works, save it again.",
    )
