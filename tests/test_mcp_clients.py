"""What `openbook mcp` prints for the programs that agents live in."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from api.mcp.clients import configs
from command import Ran, in_process

COMMAND = ("/opt/my apps/openbook", "mcp", "serve")
ENVIRONMENT = {"OPENBOOK_DATA_DIR": '/data "x"', "OPENBOOK_ROOTS": "/a:/b"}
URL = "http://127.0.0.1:8080/mcp"


def text(client: str, transport: str) -> str:
    (found,) = (
        each
        for each in configs(COMMAND, ENVIRONMENT, URL)
        if (each.client, each.transport) == (client, transport)
    )
    return found.text


def test_claude_code_is_told_by_a_command() -> None:
    words = shlex.split(text("Claude Code", "stdio"))
    assert words[:4] == ["claude", "mcp", "add", "openbook"]
    assert words[words.index("--") + 1 :] == list(COMMAND)
    assert f"OPENBOOK_DATA_DIR={ENVIRONMENT['OPENBOOK_DATA_DIR']}" in words
    assert shlex.split(text("Claude Code", "http"))[-1] == URL


@pytest.mark.parametrize(
    ("client", "key"),
    [
        ("Claude Desktop", "mcpServers"),
        ("Cursor", "mcpServers"),
        ("VS Code", "servers"),
        ("Zed", "context_servers"),
    ],
)
def test_others_by_json(client: str, key: str) -> None:
    entry = json.loads(text(client, "stdio"))[key]["openbook"]
    assert (entry["command"], *entry["args"]) == COMMAND
    assert entry["env"] == ENVIRONMENT
    if client != "Claude Desktop":
        assert json.loads(text(client, "http"))[key]["openbook"]["url"] == URL


def test_codex_by_toml() -> None:
    entry = tomllib.loads(text("Codex", "stdio"))["mcp_servers"]["openbook"]
    assert (entry["command"], *entry["args"], entry["env"]) == (*COMMAND, ENVIRONMENT)
    assert tomllib.loads(text("Codex", "http"))["mcp_servers"]["openbook"] == {"url": URL}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return in_process(monkeypatch, capsys)


def test_the_command_is_absolute_and_keys_stay_out(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENBOOK_LLM_API_KEY", "secret")
    monkeypatch.setenv("OPENBOOK_MODELS", '{"deep": {"url": "http://127.0.0.1:8/v1", "api_key": "secret"}}')
    monkeypatch.setenv("OPENBOOK_REQUIRE_KEY", "true")
    monkeypatch.setenv("OPENBOOK_LLM_URL", "http://127.0.0.1:9/v1")
    ran = run("mcp", "--client", "cursor", "--json")
    stdio, http = ran.json
    entry = json.loads(stdio["text"])["mcpServers"]["openbook"]
    assert entry["command"] == str(Path(sys.prefix) / "bin" / "openbook")
    assert entry["env"] == {
        "OPENBOOK_DATA_DIR": str(tmp_path / "data"),
        "OPENBOOK_LLM_URL": "http://127.0.0.1:9/v1",
        "OPENBOOK_REQUIRE_KEY": "true",
    }
    assert json.loads(http["text"])["mcpServers"]["openbook"]["url"] == "http://127.0.0.1:8080/mcp"
    plain = run("mcp")
    assert "secret" not in plain.out
    assert "OPENBOOK_ROOTS" in plain.err
