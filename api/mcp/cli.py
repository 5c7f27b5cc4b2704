"""``openbook mcp``: the configuration of MCP clients, and the server that they start."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from api.mcp.clients import Config, configs
from rag import owner
from rag.settings import PREFIX, Settings, load_settings
from rag.terminal import JsonOption, err, out, print_json

app = typer.Typer(
    name="mcp", help="Let agents use openbook over MCP: print how their programs are told of it.",
)  # fmt: skip


@app.callback(invoke_without_command=True)
def mcp(
    context: typer.Context,
    client: Annotated[
        str, typer.Option(help="Only this one: Claude Code, Claude Desktop, Cursor, VS Code, Codex, Zed.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Print the configuration for common MCP clients, over stdio and over HTTP."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    wanted = [each for each in _configs(settings) if client.lower() in each.client.lower()]
    if as_json:
        print_json([_plain(each) for each in wanted])
        return
    for each in wanted:
        where = f"into {each.file}" if each.file else "run"
        out.print(f"# {each.client}, {each.transport}: {where}", markup=False, style="bold")
        out.print(each.text + "\n", markup=False)
    if not settings.roots:
        err.print("No folder may be ingested by agents: name some in OPENBOOK_ROOTS.", markup=False)


@app.command("serve")
def serve() -> None:
    """Speak MCP on standard input and output, for the program that starts it."""
    from api.mcp.stdio import run  # the web framework and the MCP library are loaded by this command only

    run(load_settings())


def _configs(settings: Settings) -> list[Config]:
    command = [str(Path(sys.prefix).absolute() / "bin" / "openbook"), "mcp", "serve"]
    record = owner.find(settings.data_dir)
    running = record.url if record and record.url else None
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return configs(command, _environment(settings), f"{running or f'http://{host}:{settings.port}'}/mcp")


def _environment(settings: Settings) -> dict[str, str]:
    """What the client is to set: it starts the command elsewhere, and without this shell's variables. Keys stay out:
    what is printed is pasted into files that are shared."""
    said = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    public = {name: value for name, value in sorted(said.items()) if not _may_hold_a_key(name)}
    return {f"{PREFIX}DATA_DIR": str(settings.data_dir)} | {
        name: value for name, value in public.items() if name != f"{PREFIX}DATA_DIR"
    }


def _may_hold_a_key(variable: str) -> bool:
    """OPENBOOK_MODELS has the keys of its servers in it."""
    return variable.endswith("_API_KEY") or variable == f"{PREFIX}MODELS"


def _plain(config: Config) -> dict[str, str]:
    return {name: getattr(config, name) for name in ("client", "transport", "file", "text")}
