"""The parts of a MIME message: those that a reader sees as its text, and those that are attached."""

from __future__ import annotations

import email
import email.policy
import mimetypes
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import PurePosixPath

_TEXTS = ("text/plain", "text/html")
_MAX_NAME = 80
_UNFIT = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")


def read_message(data: bytes) -> EmailMessage:
    """Raises whatever the standard library's parser stumbles over, which is no one class of errors."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_parts(message: EmailMessage) -> list[EmailMessage]:
    """The message's text in order: mostly one part, HTML where there are both; several where a program puts a
    picture between them or a mailing list its footer below."""
    return [part for part in _shown(message) if part.get_content_type() in _TEXTS and not _is_file(part)]


def attached_parts(message: EmailMessage) -> list[tuple[str, EmailMessage]]:
    """(name, part) of everything else; a message within the message is one part."""
    texts = {id(part) for part in text_parts(message)}
    parts = [part for part in _shown(message) if id(part) not in texts]
    return [(_name(part, number), part) for number, part in enumerate(parts, start=1)]


def part_bytes(part: EmailMessage) -> bytes:
    """Decoded from base64 and the like."""
    if part.get_content_maintype() == "message":
        return b"\n\n".join(inner.as_bytes() for inner in _inner_messages(part))
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def as_name(text: str) -> str:
    """A subject as a file's name."""
    return " ".join(_UNFIT.sub(" ", text).split())[:_MAX_NAME].strip(" .")


def _shown(part: EmailMessage) -> Iterator[EmailMessage]:
    """The leaves, without the plain text that says again what HTML beside it says."""
    if part.get_content_maintype() != "multipart":
        yield part
        return
    children = [child for child in part.iter_parts() if isinstance(child, EmailMessage)]
    if part.get_content_subtype() == "alternative":
        best = part.get_body(("html", "plain"))
        children = [child for child in children if child.get_content_type() not in _TEXTS or child is best]
    for child in children:
        yield from _shown(child)


def _is_file(part: EmailMessage) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _name(part: EmailMessage, number: int) -> str:
    name = part.get_filename()
    if not name and part.get_content_type() == "message/rfc822":
        subject = next((str(inner["Subject"] or "") for inner in _inner_messages(part)), "")
        name = f"{as_name(subject) or f'message-{number}'}.eml"
    # A name from elsewhere may hold slashes; it is a name only.
    name = PurePosixPath((name or "").replace("\\", "/")).name
    return name or f"part-{number}{mimetypes.guess_extension(part.get_content_type()) or ''}"


def _inner_messages(part: EmailMessage) -> list[EmailMessage]:
    inner = part.get_payload()
    return [each for each in inner if isinstance(each, EmailMessage)] if isinstance(inner, list) else []
