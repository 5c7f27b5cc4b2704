"""What is noted of a request while it is served: for its log line, its metrics and its trace."""

from __future__ import annotations

import re
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

REQUEST_ID = "x-request-id"
OTHER = (
    "other"  # a route or method that there is not: a label for each that somebody tries would fill the memory
)
_SANE = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")


@dataclass(slots=True)
class Record:
    """``route`` is the path's template: a path itself may hold names and ids. ``noted`` is what else its line tells:
    counts, seconds and names, never what was asked, said or read."""

    id: str
    method: str
    route: str = OTHER
    status: int = 0
    error: str = ""
    noted: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    span: Any = None  # of its trace, where there is one

    def line(self) -> dict[str, Any]:
        seconds = round(time.perf_counter() - self.began, 4)
        line = {"request": self.id, "method": self.method, "route": self.route, "status": self.status}
        error = {"error": self.error} if self.error else {}
        return {**line, **error, **self.noted, "seconds": seconds}


CURRENT: ContextVar[Record | None] = ContextVar("record", default=None)


def note_error(code: str) -> None:
    """The request that is being served fails, or its stream does."""
    if record := CURRENT.get():
        record.error = code


def id_of(sent: str | None) -> str:
    """The id that the client gave its request, where it can stand in a log and a header; else a new one."""
    return sent if sent and _SANE.fullmatch(sent) else uuid.uuid4().hex[:12]
