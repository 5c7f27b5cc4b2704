"""The models that may answer, each with the server that serves it, and which of them one question goes to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rag.admission import Gate
from rag.errors import ModelError, ModelNotFound, ModelUnavailable
from rag.gather import Limits
from rag.plan import Costs
from rag.ports import Generator, TokenCounter
from rag.remembered import Remembered
from rag.residency import Residency
from rag.serving import Serving
from rag.types import PassedOver

ANSWER, FAST = "answer", "fast"  # roles, which are also the names of the models that have them
_HINT = "openbook status says which models answer."
RETRY_S = 5.0  # a model that was down is asked last so long, where another may answer


@dataclass(slots=True)
class Health:
    """When the model was down last, by time.monotonic, and ``why``."""

    failed_at: float | None = None
    why: str = ""

    def failed(self, why: str) -> None:
        self.failed_at, self.why = time.monotonic(), why

    @property
    def doubtful(self) -> bool:
        return self.failed_at is not None and time.monotonic() - self.failed_at < RETRY_S


@dataclass(frozen=True, slots=True)
class Served:
    """One model: ``name`` is what settings and requests call it, ``called`` what its server does, where that is known
    without asking. It has its own queue, mirror of the prefix cache, and costs (``serving``), and its own tokens, which
    are ``remembered`` for questions."""

    name: str
    generator: Generator
    tokens: TokenCounter
    remembered: Remembered
    serving: Serving
    limits: Limits
    called: str = ""
    health: Health = field(default_factory=Health)

    @classmethod
    def of(
        cls,
        name: str,
        generator: Generator,
        tokens: TokenCounter,
        limits: Limits,
        *,
        gate: Gate | None = None,
        costs: Costs | None = None,
        called: str = "",
    ) -> Served:
        """One of which nothing is known yet."""
        remembered = Remembered(tokens)
        serving = Serving(gate or Gate(), Residency(remembered), costs)
        return cls(name, generator, tokens, remembered, serving, limits, called)

    async def is_called(self, name: str) -> bool:
        """By its server, which is asked where that is not known. Raises ModelUnavailable."""
        if name == self.called or (self.serving.served and name == self.serving.served.name):
            return True
        return not self.called and name == (await self.generator.model()).name


@dataclass(frozen=True, slots=True)
class Models:
    """The first has the role ``answer``. Those of ``fallback``, in order, answer where the one that should is down;
    where a request named that one, only with ``for_named``."""

    all: tuple[Served, ...]
    fallback: tuple[str, ...] = ()
    for_named: bool = False

    @classmethod
    def alone(
        cls,
        generator: Generator,
        tokens: TokenCounter,
        limits: Limits,
        *,
        gate: Gate | None = None,
        costs: Costs | None = None,
    ) -> Models:
        return cls((Served.of(ANSWER, generator, tokens, limits, gate=gate, costs=costs),))

    def __iter__(self) -> Iterator[Served]:
        return iter(self.all)

    async def named(self, name: str) -> Served:
        """By its name, or by its server's name for it. Raises ModelNotFound."""
        if (known := self._of(name)) is not None:
            return known
        same = await asyncio.gather(*(each.is_called(name) for each in self.all), return_exceptions=True)
        for each, is_it in zip(self.all, same, strict=True):
            if is_it is True:
                return each
        if isinstance(same[0], ModelError) and len(self.all) == 1:  # it may be what that one serves
            raise same[0]
        raise ModelNotFound.of(name, [each.name for each in self.all])

    async def wanted(self, name: str | None) -> list[Served]:
        """Those that may answer a question, the first that should: the one that it names, else that of the role.
        Raises ModelNotFound."""
        first = self.all[0] if name is None else await self.named(name)
        others = [self._of(each) for each in self.fallback] if name is None or self.for_named else []
        return [first, *(each for each in others if each is not None and each is not first)]

    @property
    def helping(self) -> list[Served]:
        """For small work beside the answers: the fast one, and that of the role answer where it is down."""
        fast = self._of(FAST)
        return in_turn([fast, self.all[0]] if fast else [self.all[0]])

    def through(self, wrap: Callable[[Generator], Generator]) -> Models:
        """The same, asked through what ``wrap`` makes of each generator."""
        return replace(self, all=tuple(replace(each, generator=wrap(each.generator)) for each in self.all))

    def _of(self, name: str) -> Served | None:
        return next((each for each in self.all if each.name == name), None)


def in_turn(wanted: Sequence[Served]) -> list[Served]:
    """As they are to be tried: what was down a moment ago is not waited for again where another may answer."""
    return sorted(wanted, key=lambda each: each.health.doubtful)


def passed_over(wanted: Sequence[Served], by: Served) -> tuple[PassedOver, ...]:
    """Those that should have answered before."""
    return tuple(PassedOver(each.name, each.health.why) for each in wanted[: wanted.index(by)])


def unanswered(wanted: Sequence[Served], error: ModelUnavailable) -> ModelUnavailable:
    """What is said where none of them answered: why, of each. The hint of the client is for the role answer alone."""
    if len(wanted) == 1:
        return error if wanted[0].name == ANSWER else ModelUnavailable(error.message, _HINT)
    told = " ".join(f"{each.name}: {each.health.why}" for each in wanted)
    return ModelUnavailable(f"None of the models that may answer does. {told}", _HINT)
