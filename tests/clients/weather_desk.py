"""A small MCP server of the official library's: `python weather_desk.py stdio|sse|streamable-http PORT`."""

import sys

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

desk = MCPServer("weather desk")


@desk.tool(description="Tells the weather in a city.", annotations=ToolAnnotations(read_only_hint=True))
def get_weather(city: str) -> str:
    return f"It is sunny in {city}, 21 degrees."


@desk.tool(description="Orders an umbrella.")
def order_umbrella(colour: str) -> str:
    raise ValueError(f"There are no {colour} umbrellas.")


if __name__ == "__main__":
    where = {"host": "127.0.0.1", "port": int(sys.argv[2])} if len(sys.argv) > 2 else {}
    desk.run(sys.argv[1], **where)  # type: ignore[call-overload]
