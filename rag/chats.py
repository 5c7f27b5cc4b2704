"""Chats of clients that keep what was said and send all of it each time.

What was read for an earlier answer is remembered by the words that led to it, so that a prompt goes on where the one
before ended. A chat of which nothing is known, or of which the client changed the words, goes on with the words.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from rag.conversation import Turn

KEPT = 1000  # ends of chats, the last used ones

Said = tuple[str, str]  # a question, and its answer as the client has it


@dataclass(slots=True)
class Chat:
    """A request that goes on with what was ``said``; ``turn`` is what has been added, once it has been answered."""

    key: str
    turns: tuple[Turn, ...]
    id: str = field(default_factory=lambda: f"chat-{secrets.token_hex(16)}")
    turn: Turn | None = None


class Chats:
    """In memory. ``owner`` keeps apart what different callers have been told. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Turn, ...]] = OrderedDict()
        self._open: dict[str, Chat] = {}

    def begin(self, owner: str, said: Sequence[Said]) -> Chat:
        """Its ``id`` is one of a conversation until ``end``."""
        keys = [*accumulate(said, _after, initial=_after("", (owner, "")))]
        with self._lock:
            begun = next((at for at in reversed(range(len(keys))) if keys[at] in self._known), 0)
            known = self._known.get(keys[begun], ())
            chat = Chat(keys[-1], (*known, *(Turn(*each) for each in said[begun:])))
            self._open[chat.id] = chat
        return chat

    def end(self, chat: Chat, question: str = "", answer: str = "") -> None:
        """With what the client will send back, if it was answered."""
        with self._lock:
            del self._open[chat.id]
            if chat.turn:
                self._known[key := _after(chat.key, (question, answer))] = (*chat.turns, chat.turn)
                self._known.move_to_end(key)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)

    def get(self, id_: str | None) -> Chat | None:
        return self._open.get(id_) if id_ else None


def _after(key: str, said: Said) -> str:
    """Clients may trim what they keep."""
    digest = hashlib.sha256(key.encode())
    for text in said:
        words = " ".join(text.split()).encode()
        digest.update(len(words).to_bytes(8) + words)
    return digest.hexdigest()
