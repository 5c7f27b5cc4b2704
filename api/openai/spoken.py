"""Messages as a question with what was said before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.openai.citing import without_sources
from api.openai.schemas import InputItem, Part, SaidMessage
from rag.chats import Said
from rag.errors import BadParameter

# So begin the prompts by which Open WebUI has titles, tags and follow-up questions made, or has a file read that it
# sends along itself: none is a question for documents.
TASK = "### Task:"


@dataclass(frozen=True, slots=True)
class Spoken:
    question: str
    before: tuple[Said, ...] = ()
    instructions: str = ""

    @property
    def is_task(self) -> bool:
        return self.question.startswith(TASK)


def spoken(messages: Sequence[SaidMessage | InputItem], field: str) -> Spoken:
    """Raises BadParameter, naming the message in ``field``."""
    instructions: list[str] = []
    before: list[Said] = []
    asked: list[str] = []
    for at, message in enumerate(messages):
        where = f"{field}.{at}"
        if message.role in ("system", "developer"):
            instructions.append(_text(message.content, where))
        elif message.role == "user":
            asked.append(_text(message.content, where))
        elif message.role == "assistant":
            _reply(_text(message.content, where), asked, before)
            asked = []
        else:
            raise BadParameter(
                f"{where}: {message.role or 'an item that is no message'} cannot be part of a question to documents.",
                "Send messages of system, developer, user and assistant.",
                parameter=where,
            )
    if not asked:
        raise BadParameter(
            f"The last of {field} is no question.", "Let a user's message be the last.", parameter=field
        )
    return Spoken("\n\n".join(asked), tuple(before), "\n\n".join(filter(None, instructions)))


def _reply(text: str, asked: Sequence[str], before: list[Said]) -> None:
    """A greeting that answers nothing is left out; what was said in two messages is one reply."""
    if asked:
        before.append(("\n\n".join(asked), without_sources(text)))
    elif before:
        question, first = before.pop()
        before.append((question, f"{first}\n\n{without_sources(text)}"))


def _text(content: str | Sequence[Part] | None, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for at, part in enumerate(content):
        if part.type not in ("text", "input_text", "output_text") or part.text is None:
            raise BadParameter(
                f"{where}.content.{at}: {part.type[:40]!r} cannot be read here.",
                "Send text; ingest files, and ask about them.",
                parameter=f"{where}.content.{at}",
            )
        texts.append(part.text)
    return "\n\n".join(texts)
