"""Where the log lines of what serves go: to standard error, for people or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from rag.correlation import current
from rag.settings import LogFormat

QUIET = ("httpx", "sentence_transformers", "filelock")  # a line for each of their calls says nothing
OURS = ("api", "ingest", "openbook", "rag")


def configure_logging(level: int = logging.INFO, form: LogFormat = "text") -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Lines())
    # What libraries say for those who debug them has bodies in it: questions, answers, keys.
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class Lines(logging.Formatter):
    """With the id of the request that a line is written for, where it does not say so itself."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the library's name
        line, request = super().formatMessage(record), current().request
        return f"{line} [{request}]" if request and not hasattr(record, "fields") else line


class JsonLines(logging.Formatter):
    """One object a line; ``extra={"fields": {...}}`` of a record are its members, in the place of its message."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": at, "level": record.levelname.lower(), "logger": record.name}
        if request := current().request:
            line["request"] = request
        line |= getattr(record, "fields", None) or {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
