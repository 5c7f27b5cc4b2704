"""The options of commands that search: which collections, and what of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from rag.errors import BadRequest
from rag.question import Filter

CollectionsOption = Annotated[
    list[str] | None,
    typer.Option("--collection", "-c", help="Collection to search; may be repeated.", show_default="default"),
]
PathOption = Annotated[
    list[str] | None, typer.Option("--path", help="Only files whose path or its end matches: 'docs/*.md'.")
]
TypeOption = Annotated[
    list[str] | None, typer.Option("--type", help="Only files of this ending or media type: pdf, image/*.")
]
SinceOption = Annotated[str, typer.Option(help="Only files changed on this day or later: 2026-01-31.")]
UntilOption = Annotated[str, typer.Option(help="Only files changed on this day or before.")]
HeadingOption = Annotated[
    list[str] | None, typer.Option("--heading", help="Only what stands under a heading that matches.")
]
FieldOption = Annotated[
    list[str] | None, typer.Option("--field", help="Only files whose front matter says NAME=VALUE.")
]


def collections(chosen: Sequence[str] | None) -> str | tuple[str, ...]:
    """One name, or several."""
    names = tuple(chosen or ("default",))
    return names[0] if len(names) == 1 else names


def filter_of(
    path: Sequence[str] | None,
    kind: Sequence[str] | None,
    since: str,
    until: str,
    heading: Sequence[str] | None,
    field: Sequence[str] | None,
) -> Filter:
    """Raises BadRequest for a field without a value."""
    fields = {}
    for each in field or ():
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise BadRequest(f"--field {each!r} has no value.", "Write it as --field author=Ada.")
        fields[name] = value
    return Filter(tuple(path or ()), tuple(kind or ()), since, until, tuple(heading or ()), fields)
