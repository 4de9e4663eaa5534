"""An MCP server that is a command: `python stdio_server.py`. It can do what servers should not."""

import os
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

shed = MCPServer("shed")


@shed.tool(description="Says who it is.", annotations=ToolAnnotations(read_only_hint=True))
def who() -> str:
    return str(os.getpid())


@shed.tool(description="Says what it knows from its environment.")
def environment(name: str) -> str:
    return os.environ.get(name, "nothing")


@shed.tool(description="Ends the process.", annotations=ToolAnnotations(destructive_hint=True))
def fall_down() -> str:
    os._exit(3)


@shed.tool(description="Refuses.")
def refuse(why: str) -> str:
    raise ToolError(why)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not Path(sys.argv[1]).exists():  # not before the morning
        sys.exit(1)
    shed.run("stdio")
