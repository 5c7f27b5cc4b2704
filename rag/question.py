"""What is asked, as the engine takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Policy = Literal["passages", "sections", "documents", "auto"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents, and which passages of them, a question is about; each condition that is given must hold.

    ``paths`` and ``headings`` are globs in which ``*`` also matches ``/``: one of them must match the document's path
    (or its end, from a ``/`` on), or a heading on the passage's path. ``types`` are endings (``pdf``) or media types
    (``image/*``). ``since`` and ``until`` are days of the file's last change, ``2026-01-31``. ``fields`` are those of
    the front matter: its value, or one of its list. Nothing depends on upper or lower case."""

    paths: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    headings: tuple[str, ...] = ()
    fields: dict[str, str] = field(default_factory=dict, hash=False)

    def __bool__(self) -> bool:
        return bool(self.of_documents or self.headings)

    @property
    def of_documents(self) -> bool:
        """Whether it says something about documents."""
        return bool(self.paths or self.types or self.since or self.until or self.fields)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model chooses its words, and at which texts it stops. ``None`` leaves it to the server."""

    temperature: float = 0.0
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Question:
    """A request as the engine takes it. ``None`` means: as the settings say. ``collection`` may be several; ``policy``
    says what is read (rag/choice.py), ``conversation`` is the id of the one that it goes on, ``instructions`` say how
    to answer. So much is read that the answer begins within ``target_ttft_ms``. Higher ``priority`` waits less, and
    each ``client`` has its share. ``model`` is the name of the one that is to answer, None for that of the role."""

    text: str
    collection: str | tuple[str, ...] = "default"
    max_context_tokens: int | None = None
    max_answer_tokens: int | None = None
    sampling: Sampling = GREEDY
    among: Filter = field(default_factory=Filter)
    policy: Policy = "auto"
    conversation: str | None = None
    instructions: str = ""
    target_ttft_ms: int | None = None
    priority: int = 0
    client: str = ""
    model: str | None = None

    @property
    def collections(self) -> tuple[str, ...]:
        return (self.collection,) if isinstance(self.collection, str) else self.collection
