"""Lines of a text, as many as fit a budget. Lines count from 1 and end with their ``\\n``. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rag.errors import BadRequest
from rag.types import Span

_RANGE = re.compile(r"(\d{1,9})(?:\s*(-)\s*(\d{1,9})?)?")


@dataclass(frozen=True, slots=True)
class Cut:
    """The first ``lines`` of some, whole but where ``in_line``: then it is the beginning of the first."""

    text: str
    lines: int
    tokens: int
    in_line: bool = False


def split(text: str) -> list[str]:
    """Not at form feeds and other separators, which are within lines of code."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def asked(lines: str, of: int) -> tuple[int, int]:
    """First and last line of ``10-40``, ``10`` or ``10-``, of all where nothing is said. Raises BadRequest."""
    if not lines.strip():
        return 1, of
    match = _RANGE.fullmatch(lines.strip())
    if match is None:
        raise BadRequest(f"{lines!r} are no lines.", "Write them as 10-40, 10 or 10-.")
    first = int(match[1])
    last = int(match[3]) if match[3] else of if match[2] else first
    if not 1 <= first <= min(last, of):
        raise BadRequest(f"There are no lines {lines} in a document of {of:,}.", f"Ask for some of 1-{of}.")
    return first, min(last, of)


def around(text: str, span: Span) -> tuple[int, int]:
    """First and last of the lines that a span is on."""
    last = max(span.start, min(span.end, len(text)) - 1)
    return 1 + text.count("\n", 0, span.start), 1 + text.count("\n", 0, last)


def cut(lines: Sequence[str], budget: int, count: Callable[[Sequence[str]], list[int]]) -> Cut:
    """As many lines as fit ``budget`` tokens, and at least the beginning of one."""
    near = lines[:budget]  # no line has less than one
    sums = list(accumulate(count(near))) if near else []
    fit = bisect_right(sums, budget)
    if fit or not near:
        return Cut("".join(near[:fit]), fit, sums[fit - 1] if fit else 0)
    beginning = _beginning(near[0], budget, count)
    return Cut(beginning, 1, count([beginning])[0], in_line=True)


def _beginning(line: str, budget: int, count: Callable[[Sequence[str]], list[int]]) -> str:
    fits, too_long = 0, len(line)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if count([line[:middle]])[0] <= budget:
            fits = middle
        else:
            too_long = middle
    return line[:fits]
