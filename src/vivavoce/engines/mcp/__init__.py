"""Tools of MCP servers.

`servers` are reached over `http`, `visits` hold the connections, `hosts` offer the `tools` to answers, and
`errands` are what an answer leaves to be done.
"""
