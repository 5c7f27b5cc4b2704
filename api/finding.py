"""What a check of ``openbook doctor`` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rag.errors import RagError
from rag.settings import Settings

Verdict = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``mend`` is the way out. Of what was skipped, ``detail`` says why."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""


Check = tuple[str, Callable[[Settings], Finding]]


def findings(checks: Sequence[Check], settings: Settings) -> Iterator[Finding]:
    """One after another; none of them raises."""
    for name, check in checks:
        try:
            yield check(settings)
        except RagError as error:
            yield Finding(name, "fail", error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - a broken installation fails in its own ways
            yield Finding(name, "fail", repr(error), "Run: make setup")
