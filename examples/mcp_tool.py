"""A tool of an MCP server, which vivavoce starts and asks for its tools. Both ends are here.

    viva serve --config examples/mcp_tool.toml

Open http://127.0.0.1:8765, and say: "Does the library have Dracula?" The server may be any other: a command, or
an address.
"""

from mcp.server.mcpserver import MCPServer

SHELVES = {
    "dracula": "on the second floor",
    "emma": "lent out until Friday",
    "moby dick": "in the reading room",
}

library = MCPServer("library")


@library.tool(description='Find a book: "do you have Emma?", "where is Moby Dick?".')
def find_book(title: str) -> str:
    """Say where a book is."""
    return f"{title} is {SHELVES.get(title.lower(), 'not in the library')}."


if __name__ == "__main__":
    library.run("stdio")
