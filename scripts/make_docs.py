"""Write what the code knows into the documentation: settings and --help texts, between their markers.

.venv/bin/python scripts/make_docs.py           rewrites the files
.venv/bin/python scripts/make_docs.py --check   exit code 1 if one would change (a test runs this)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import typer
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from openbook.app import app
from rag.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
APP: Any = typer.main.get_command(app)
COMMANDS = sorted(APP.commands)


def settings_table() -> str:
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{PREFIX}{name.upper()}` | {_default(name, field)} | {field.description} |")
    return "\n".join(rows)


def _default(name: str, field: Any) -> str:
    made = {
        "data_dir": "nearest `.openbook` above, else `~/.local/share/openbook`",
        "vllm_python": "`.venv-vllm/bin/python` beside `.venv`",
        "vllm_model": "`.models/SmolLM2-135M-Instruct` beside `.venv`",
    }
    if field.default in (None, PydanticUndefined, "", (), {}):
        return made.get(name, "")
    return f"`{field.default}`"


def help_text(*command: str) -> str:
    arguments = [*command, "--help"]
    # A fixed width and no colours, wherever this runs.
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.output)
    return "```text\n" + "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n```"


def commands() -> str:
    named = [(name, *below) for name in COMMANDS for below in _below(name)]
    return "\n\n".join(f"## openbook {' '.join(name)}\n\n{help_text(*name)}" for name in named)


def _below(name: str) -> list[tuple[str, ...]]:
    """A command itself, then those that it groups."""
    grouped = getattr(APP.commands[name], "commands", {})
    return [(), *((each,) for each in sorted(grouped))]


PARTS = {"settings": settings_table, "help": help_text, "commands": commands}


def rewritten(text: str) -> str:
    for name, make in PARTS.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        if marked.search(text):
            made = make()
            text = marked.sub(lambda match, made=made: f"{match[1]}{made}\n{match[2]}", text)  # type: ignore[misc]
    return text


def main() -> None:
    check = "--check" in sys.argv
    stale = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text()
        new = rewritten(text)
        if new != text:
            stale.append(str(path.relative_to(ROOT)))
            if not check:
                path.write_text(new)
    print(f"{'stale' if check else 'rewritten'}: {', '.join(stale) or 'none'}")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
