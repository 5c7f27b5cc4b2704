"""What is done here is done for a request: its id, for log lines, and headers that the model server is sent with it.

Empty where nobody has asked: in commands, and in what the service does by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Correlation:
    """``headers`` are given on as they are."""

    request: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


_NONE = Correlation()
_CURRENT: ContextVar[Correlation] = ContextVar("correlation", default=_NONE)


def current() -> Correlation:
    return _CURRENT.get()


@contextmanager
def correlated(correlation: Correlation) -> Iterator[None]:
    """Within, also in tasks and threads that are started there."""
    token = _CURRENT.set(correlation)
    try:
        yield
    finally:
        _CURRENT.reset(token)
