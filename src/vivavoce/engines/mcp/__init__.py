"""MCP servers that a session names: `hosts` offer their tools, `errands` are what answers leave to be done."""
