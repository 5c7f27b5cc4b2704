"""Errors of names and ids that stand for nothing; rag/errors.py has the whole tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.error import RagError


class NotFound(RagError): ...


class AnswerNotFound(NotFound):
    @classmethod
    def of(cls, id_: str) -> AnswerNotFound:
        shown = id_ if len(id_) <= 40 else f"{id_[:40]}…"
        return cls(
            f"There is no answer {shown!r}; of many the oldest are forgotten.",
            "OPENBOOK_KEPT_ANSWERS says how many are kept.",
        )


class CollectionNotFound(NotFound):
    @classmethod
    def of(cls, name: str, known: list[str]) -> CollectionNotFound:
        there = f"There are: {', '.join(known)}." if known else "There are none yet."
        return cls(
            f"There is no collection {name!r}. {there}",
            f"Make it with: openbook ingest PATH --collection {name}",
        )

    @classmethod
    def hidden(cls, name: str) -> CollectionNotFound:
        """The same for one of others and for one that is nobody's."""
        return cls(
            f"There is no collection {name!r} for this key.", "GET /v1/status lists those that there are."
        )


class DocumentNotFound(NotFound):
    @classmethod
    def of(cls, name: str, collection: str) -> DocumentNotFound:
        return cls(
            f"No document {name!r} in collection {collection!r}.",
            f"List them with: openbook documents --collection {collection}",
        )


class ConversationNotFound(NotFound):
    @classmethod
    def of(cls, id_: str) -> ConversationNotFound:
        shown = id_ if len(id_) <= 40 else f"{id_[:40]}…"
        return cls(
            f"There is no conversation {shown!r}; it may have been deleted, or forgotten since nobody went on.",
            "Begin another: POST /v1/conversations, openbook chat, or openbook ask --conversation new",
        )


class JobNotFound(NotFound):
    @classmethod
    def of(cls, id_: str) -> JobNotFound:
        return cls(f"There is no job {id_!r}.", "List them with: openbook jobs")


class KeyNotFound(NotFound):
    @classmethod
    def of(cls, named: str) -> KeyNotFound:
        return cls(f"No key in use has the name or id {named!r}.", "List them with: openbook keys list")


class ModelNotFound(NotFound):
    @classmethod
    def of(cls, name: str, known: Sequence[str]) -> ModelNotFound:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        return cls(
            f"There is no model {shown!r} here. There are: {', '.join(known)}.",
            "Name one of them, or none: then the model of the role answer does it.",
        )


class OriginalNotFound(NotFound): ...


class RefNotFound(NotFound):
    @classmethod
    def of(cls, ref: str, root: Path, near: list[str]) -> RefNotFound:
        meant = (
            f"Did you mean {' or '.join(near)}?" if near else "Its branches and tags: git branch -a; git tag"
        )
        return cls(f"There is no branch, tag or commit {ref!r} in {root}.", meant)


class SymbolNotFound(NotFound):
    @classmethod
    def of(cls, name: str, collection: str, similar: Sequence[str]) -> SymbolNotFound:
        return cls(
            f"Nothing is called {name!r} in the code of collection {collection!r}.",
            f"Did you mean: {', '.join(similar)}?"
            if similar
            else "Is its code ingested? List its files with: openbook documents",
        )
