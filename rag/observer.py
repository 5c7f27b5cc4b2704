"""Who is told how questions go: metrics, traces and logs of a service, nobody in a command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rag.stages import Stages
from rag.types import Answer


class Observer(Protocol):
    def question(self, stages: Stages) -> AbstractContextManager[Callable[[Answer], None]]:
        """Entered when a question comes, left when it has been answered, has failed or was left; gives what takes its
        answer."""
        ...


class Nobody:
    def question(self, _stages: Stages) -> AbstractContextManager[Callable[[Answer], None]]:
        return nullcontext(lambda _answer: None)
