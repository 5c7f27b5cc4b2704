"""How common MCP clients are told of openbook: a command, or what goes into a file of theirs. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "openbook"


@dataclass(frozen=True, slots=True)
class Config:
    """``file`` is empty where ``text`` is a command."""

    client: str
    transport: str
    file: str
    text: str


def configs(command: Sequence[str], environment: Mapping[str, str], url: str) -> list[Config]:
    """For ``command`` with its absolute path, run with ``environment``, and for the service at ``url``."""
    program, *arguments = command
    stdio: dict[str, Any] = {"command": program, "args": arguments, "env": dict(environment)}
    typed = {"type": "stdio"} | stdio
    http = {"type": "http", "url": url}
    return [
        Config("Claude Code", "stdio", "", _claude(command, environment)),
        Config("Claude Code", "http", "", f"claude mcp add --transport http {NAME} {shlex.quote(url)}"),
        Config("Claude Desktop", "stdio", "claude_desktop_config.json", _json("mcpServers", stdio)),
        Config("Cursor", "stdio", ".cursor/mcp.json", _json("mcpServers", stdio)),
        Config("Cursor", "http", ".cursor/mcp.json", _json("mcpServers", {"url": url})),
        Config("VS Code", "stdio", ".vscode/mcp.json", _json("servers", typed)),
        Config("VS Code", "http", ".vscode/mcp.json", _json("servers", http)),
        Config("Codex", "stdio", "~/.codex/config.toml", _toml(stdio)),
        Config("Codex", "http", "~/.codex/config.toml", f"[mcp_servers.{NAME}]\nurl = {_quoted(url)}"),
        Config("Zed", "stdio", "settings.json", _json("context_servers", stdio)),
        Config("Zed", "http", "settings.json", _json("context_servers", {"url": url})),
    ]


def _claude(command: Sequence[str], environment: Mapping[str, str]) -> str:
    variables = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
    return shlex.join(["claude", "mcp", "add", NAME, *variables, "--", *command])


def _json(key: str, entry: Mapping[str, Any]) -> str:
    return json.dumps({key: {NAME: entry}}, indent=2, ensure_ascii=False)


def _toml(entry: Mapping[str, Any]) -> str:
    variables = ", ".join(f"{_quoted(name)} = {_quoted(value)}" for name, value in entry["env"].items())
    arguments = ", ".join(map(_quoted, entry["args"]))
    return (
        f"[mcp_servers.{NAME}]\ncommand = {_quoted(entry['command'])}\nargs = [{arguments}]\n"
        f"env = {{ {variables} }}"
    )


def _quoted(text: str) -> str:
    """A TOML basic string, which JSON's strings are."""
    return json.dumps(text)
