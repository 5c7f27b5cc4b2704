"""What e-mail holds besides its text: attachments of a message, messages of a mailbox."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from ingest.containers.taker import Damaged, Full, Taker
from ingest.formats.mime import as_name, attached_parts, part_bytes, read_message
from rag.errors import SourceCorrupt

# RFC 4155: a line that begins with this, followed by an address and a date, begins a message.
_FROM = re.compile(rb"From \S.*\d\d:\d\d")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
# So many bytes of a message hold its subject.
_HEAD = 65536
# Smaller pictures within a mail's text are its looks: logos, and dots that count its readers; in bytes.
_ORNAMENT = 4096

_File = tuple[str, bytes | Damaged]


def unpack_mail(path: Path, taker: Taker) -> None:
    """The parts of an RFC 5322 message that are not its text. Raises SourceCorrupt."""
    try:
        parts = attached_parts(read_message(path.read_bytes()))
    except Exception as exc:
        raise _corrupt(taker.container, exc) from exc
    _take_all(((name, _of_part(part)) for name, part in parts), taker)


def _of_part(part: Any) -> bytes | Damaged:
    try:
        data = part_bytes(part)
    except Exception as exc:  # noqa: BLE001 - one broken part; the others are read
        return Damaged(f"damaged ({type(exc).__name__}: {str(exc)[:120]})")
    within = part.get_content_maintype() == "image" and part.get_content_disposition() != "attachment"
    if within and len(data) < _ORNAMENT:
        return Damaged(f"a small picture within the text ({len(data):,} bytes)")
    return data


def unpack_message(path: Path, taker: Taker) -> None:
    """Outlook's .msg. Raises SourceCorrupt."""
    from oxmsg import Message

    try:
        attachments = list(Message.load(path.read_bytes()).attachments)
    except Exception as exc:
        # olefile and oxmsg let errors of struct, of codecs and their own pass.
        raise _corrupt(taker.container, exc) from exc
    _take_all((_of_attachment(each, number) for number, each in enumerate(attachments, start=1)), taker)


def _of_attachment(attachment: Any, number: int) -> _File:
    name = f"part-{number}"
    try:
        name = attachment.file_name or name
        data = attachment.file_bytes
    except Exception as exc:  # noqa: BLE001 - as above
        return name, Damaged(f"damaged ({type(exc).__name__}: {str(exc)[:120]})")
    return name, Damaged("a link, or an Outlook item within the message") if data is None else data


def unpack_mbox(path: Path, taker: Taker) -> None:
    """A file for each message, called by its subject. Raises SourceCorrupt where there is none."""
    with path.open("rb") as file:
        messages = _messages(file)
        first = next(messages, None)
        if first is None:
            raise SourceCorrupt(
                f"{taker.container} is no mailbox: it does not begin with a line 'From ...'.",
                "Export it again as mbox, or as one .eml file a message.",
            )
        _take_all(((_message_name(data), data) for data in chain([first], messages)), taker)


def _messages(file: IO[bytes]) -> Iterator[bytes]:
    lines: list[bytes] = []
    begun, blank = False, True
    for line in file:
        # Not every program quotes a "From " that begins a paragraph: without a date it is text.
        if blank and _FROM.match(line):
            if begun:
                yield _unquoted(lines)
            begun, lines = True, []
        elif begun:
            lines.append(line)
        elif line.strip():
            return
        blank = not line.strip()
    if begun:
        yield _unquoted(lines)


def _unquoted(lines: list[bytes]) -> bytes:
    return _QUOTED_FROM.sub(rb"\1", b"".join(lines))


def _message_name(data: bytes) -> str:
    """It stays when messages before it are removed."""
    try:
        subject = as_name(str(read_message(data[:_HEAD])["Subject"] or ""))
    except Exception:  # noqa: BLE001 - the message itself is read, or reported, by its own parser
        subject = ""
    return f"{subject or 'message'} {hashlib.sha256(data).hexdigest()[:8]}.eml"


def _take_all(files: Iterable[_File], taker: Taker) -> None:
    for name, data in files:
        try:
            if isinstance(data, Damaged):
                taker.refuse(name, str(data))
            else:
                taker.take(name, io.BytesIO(data))
        except Full as exc:
            taker.refuse_rest(name, str(exc))
            return


def _corrupt(name: str, error: Exception) -> SourceCorrupt:
    return SourceCorrupt(
        f"The attachments of {name} cannot be read ({type(error).__name__}: {str(error)[:120]}).",
        "Open it in a mail program; if that works, save it again.",
    )
