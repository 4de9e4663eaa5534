"""Tools: functions, HTTP endpoints and MCP servers that the model may call."""
