"""``openbook chat``: questions one after the other, each with what was said before it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from api.answer_view import answer_view
from api.asking import asking
from api.filter_options import CollectionsOption, collections
from api.model_option import ModelOption
from api.printing import print_line, print_support
from api.target_cli import TargetOption
from rag.errors import BadRequest, RagError
from rag.question import Policy, Question
from rag.settings import load_settings
from rag.terminal import err, print_error

HISTORY = 1000  # questions that the arrow keys bring back


def chat(
    collection: CollectionsOption = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with this one; by default a new one begins.")
    ] = None,
    policy: Annotated[Policy, typer.Option(help="How the context is packed.")] = "auto",
    max_answer_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens.")] = None,
    target_ms: TargetOption = None,
    model: ModelOption = None,
) -> None:
    """Ask one question after the other, each with what was said before it, until Ctrl-D."""
    settings = load_settings()
    with asking(settings, "openbook chat") as there:
        id_ = conversation or there.begin().id
        err.print(f"conversation {id_}; Ctrl-C ends an answer, Ctrl-D the conversation", markup=False)
        for text in _questions(settings.data_dir / "chat_history"):
            asked = Question(
                text,
                collections(collection),
                max_answer_tokens=max_answer_tokens,
                policy=policy,
                conversation=id_,
                target_ttft_ms=target_ms,
                model=model,
            )
            try:
                with answer_view(quiet=False) as view:
                    answer = there.answer(asked, view)
            except RagError as error:
                if not sys.stdin.isatty():
                    raise
                print_error(error)
            except KeyboardInterrupt:
                if not sys.stdin.isatty():
                    raise
                err.print("\nended; the conversation goes on without it")
            else:
                print_support(answer)
                print_line(answer.receipt)


def _questions(history: Path) -> Iterator[str]:
    """Lines that say something, from a terminal with those of earlier conversations."""
    if not sys.stdin.isatty():
        yield from filter(str.strip, _piped())
        return
    with _remembered(history):
        while True:
            try:
                text = input("> ")
            except EOFError:
                err.print()
                return
            except KeyboardInterrupt:
                err.print()
                continue
            if text.strip():
                yield text


def _piped() -> Iterator[str]:
    try:
        for line in sys.stdin:
            yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The question is not text: {error.reason}.", "Write it in UTF-8.") from error


@contextlib.contextmanager
def _remembered(history: Path) -> Iterator[None]:
    """The lines that were typed are kept, for this user only, where the data folder can be written."""
    import readline  # a terminal's: nobody else needs it

    with contextlib.suppress(OSError):
        history.touch(mode=0o600)
        readline.read_history_file(history)
    readline.set_history_length(HISTORY)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            readline.write_history_file(history)
