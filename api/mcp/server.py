"""The MCP server: the tools with their names, annotations and errors, for any transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from importlib.metadata import version
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent, ToolAnnotations

from api.mcp import shown
from api.mcp.tools import Tools
from rag.errors import RagError

INSTRUCTIONS = """openbook answers questions over collections of documents and code that were ingested on this machine.
Begin with collections. In a code base: map for an overview, symbols for a name, references for who uses it, read for \
the text, search for what you cannot name. ask has a model read long contexts and answers with checked citations.
Paths are given as path:line. Results are cut to budgets and say how to get the rest."""

_READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_PRUNES = _WRITES.model_copy(
    update={"destructive_hint": True}
)  # of documents whose files are gone, if asked to

Tool = Callable[..., Awaitable[CallToolResult]]


def mcp_server(tools: Tools) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer(
        "openbook",
        title="openbook",
        instructions=INSTRUCTIONS,
        version=version("openbook"),
        subscriptions=False,
    )
    offered: tuple[tuple[Tool, ToolAnnotations], ...] = (
        (tools.collections, _READS),
        (tools.search, _READS),
        (tools.ask, _READS),
        (tools.read, _READS),
        (tools.symbols, _READS),
        (tools.references, _READS),
        (tools.map, _READS),
        (tools.ingest, _PRUNES),
        (tools.refresh, _PRUNES),
    )
    for tool, hints in offered:
        server.add_tool(_answering(tool), annotations=hints)
    return server


def _answering(tool: Tool) -> Tool:
    """What openbook raises on purpose is a result that says the way out."""

    @wraps(tool)
    async def answered(*arguments: Any, **named: Any) -> CallToolResult:
        try:
            return await tool(*arguments, **named)
        except RagError as error:
            return _refused(error)

    return answered


def _refused(error: RagError) -> CallToolResult:
    told = {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
    return CallToolResult(
        content=[TextContent(type="text", text=shown.error(error))],
        structured_content={"error": told},
        is_error=True,
    )
