"""Responses as they are kept: beside the past answer, which has the citations and the receipt, what stood around it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from api.openai import citing
from api.openai.replies import own
from api.openai.schemas import InputItem, Part
from rag import wire
from rag.answers import Answers
from rag.chats import Said
from rag.errors import RagError
from rag.types import Answer, Usage

log = logging.getLogger(__name__)

Input = tuple[str, tuple[str, ...]]  # a role, and the texts of a message


@dataclass(frozen=True, slots=True)
class Around:
    """``state`` are the reply's fields that do not come from the answer; ``said`` is all that was said, to the end of
    this response."""

    state: dict[str, Any]
    item_id: str
    text: str
    ignored: tuple[str, ...]
    given: tuple[Input, ...]
    said: tuple[Said, ...]

    @property
    def id(self) -> str:
        return str(self.state["id"])


def keep(answers: Answers, around: Around, answer: Answer, *, wanted: bool) -> dict[str, Any]:
    """The reply, which says whether it can be fetched again. Where that is not ``wanted``, no past answer is left
    either."""
    if wanted:
        stored = bool(answer.id) and answers.keep_told(around.id, answer.id, json.dumps(wire.dump(around)))
    else:
        stored = False
        _forget(answers, answer)
    return reply_of(around, answer) | {"store": stored}


def _forget(answers: Answers, answer: Answer) -> None:
    try:
        if answer.id:
            answers.delete(answer.id)
    except RagError as error:
        log.warning("an answer that was not to be stored cannot be forgotten: %s", error)


def find(answers: Answers, id_: str) -> tuple[Around, Answer] | None:
    """Raises StoreUnavailable."""
    if found := answers.told(id_):
        around, answer = found
        return wire.load(Around, json.loads(around)), answer
    return None


def reply_of(around: Around, answer: Answer) -> dict[str, Any]:
    """The same when the response is made and when it is fetched again."""
    short = answer.finish_reason == "length"
    status = "incomplete" if short else "completed"
    return {
        **around.state,
        "status": status,
        "output": [item(around.item_id, status, part(around.text, answer))],
        "incomplete_details": {"reason": "max_output_tokens"} if short else None,
        "usage": _usage(answer.receipt.usage or Usage(0, 0, 0)),
        **own(answer, around.ignored),
    }


def item(id_: str, status: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": id_, "type": "message", "role": "assistant", "status": status, "content": list(parts)}


def part(text: str, answer: Answer | None = None) -> dict[str, Any]:
    cited = citing.annotated(answer) if answer else []
    return {"type": "output_text", "text": text, "annotations": cited, "logprobs": []}


def _usage(usage: Usage) -> dict[str, Any]:
    """The cached share is a number here, for all clients that add it up; the receipt says where it is not known."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached or 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }


def given(items: Sequence[InputItem]) -> tuple[Input, ...]:
    """Of messages that have been read as text."""
    return tuple((each.role or "", tuple(_texts(each.content))) for each in items)


def _texts(content: str | Sequence[Part] | None) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    else:
        yield from (each.text or "" for each in content or ())


def input_items(around: Around) -> list[dict[str, Any]]:
    """In the order in which they were sent."""
    of = around.id.removeprefix("resp_")
    return [_input_item(f"msg_{of}_{at}", role, texts) for at, (role, texts) in enumerate(around.given)]


def _input_item(id_: str, role: str, texts: Sequence[str]) -> dict[str, Any]:
    if role == "assistant":
        return item(id_, "completed", *map(part, texts))
    content = [{"type": "input_text", "text": text} for text in texts]
    return {"id": id_, "type": "message", "role": role, "status": "completed", "content": content}
