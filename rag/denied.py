"""Errors of callers who may not do what they ask for; rag/errors.py has the whole tree."""

from __future__ import annotations

from collections.abc import Sequence

from rag.error import RagError


class AccessError(RagError): ...


class KeyMissing(AccessError):
    @classmethod
    def of(cls) -> KeyMissing:
        return cls(
            "This request needs a key, or the token in owner.json of the service's data folder.",
            "Send it as Authorization: Bearer KEY; the owner makes one with: openbook keys add NAME",
        )


class KeyRefused(AccessError):
    @classmethod
    def of(cls, why: str) -> KeyRefused:
        return cls(f"The key is {why}.", "Ask the owner of the service for another: openbook keys add NAME")


class ScopeMissing(AccessError):
    @classmethod
    def of(cls, name: str, needed: Sequence[str], has: Sequence[str]) -> ScopeMissing:
        if not needed:
            return cls("This is for the owner of the data folder alone.", "No key has it.")
        return cls(
            f"This request needs the scope {' or '.join(needed)}; {name!r} has {', '.join(has) or 'none'}.",
            "The owner of the service makes a key with it: openbook keys add NAME --scope ...",
        )
