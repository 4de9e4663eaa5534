"""MCP: servers of tools that speak the Model Context Protocol.

`servers` decides which may be used, and defines their failures; `connection` maintains a connection;
`library` is the only module that uses the official `mcp` package; `tools` prepares tools for the chat model.
"""
