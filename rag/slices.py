"""A long prefill in parts, between which others may pass (rag/admission.py). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rag.prefill import Cost


@dataclass(frozen=True, slots=True)
class Slice:
    """Tokens ``[start, end)`` of a prompt, and what it takes to read them."""

    start: int
    end: int
    seconds: float


def slices(cost: Cost, cached: int, total: int, seconds: float, block: int) -> list[Slice]:
    """A prompt of ``total`` tokens, of which ``cached`` are in the server's cache, in slices of about ``seconds``. They
    end where blocks of that cache do, but for the last."""
    made = []
    while (step := cost.within(seconds, cached, total - cached)) < total - cached:
        end = max(cached + step, cached + block) // block * block
        if end >= total:
            break
        made.append(Slice(cached, end, cost.seconds(end - cached, cached)))
        cached = end
    return [*made, Slice(cached, total, cost.seconds(total - cached, cached))]
