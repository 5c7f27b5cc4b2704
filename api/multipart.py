"""The files in a multipart/form-data body, handed on as they come.

Not by UploadFile: FastAPI reads such a body to its end, into the system's folder for temporary files, before it asks
who sends it.
"""

from __future__ import annotations

from typing import Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from rag.errors import BadRequest

FIELD = "files"
_HINT = "Send files as curl does with: -F files=@report.pdf"


class Sink(Protocol):
    """Takes one file after the other."""

    def begin_file(self, sent: str) -> None: ...
    def write(self, data: bytes) -> None: ...
    def end_file(self) -> None: ...


class FileParts:
    """Raises BadRequest, and what the sink raises."""

    def __init__(self, content_type: str, sink: Sink) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise BadRequest(f"The body is said to be {content_type!r}, not multipart/form-data.", _HINT)
        self._sink = sink
        self._field, self._value, self._disposition = b"", b"", b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._begin_file,
                    "on_part_data": self._data,
                    "on_part_end": sink.end_file,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed(error) from error

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(error) from error

    def close(self) -> None:
        """The body has come to its end."""
        if not self._ended:
            raise BadRequest("The body ends before its last part does.", "Send it again.")

    def _begin_part(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _begin_file(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        if name != FIELD or b"filename" not in options:
            raise BadRequest(f"There is a part {name[:80]!r} that is not a file named {FIELD!r}.", _HINT)
        self._sink.begin_file(options[b"filename"].decode(errors="surrogateescape"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._sink.write(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _malformed(error: FormParserError) -> BadRequest:
    return BadRequest(f"The body is not multipart/form-data: {error}.", _HINT)
