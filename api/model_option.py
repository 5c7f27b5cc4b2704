"""Which of several models a command asks."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Who is to answer, of several models.")
]
