"""Servers of tools, by the Model Context Protocol.

`servers` says which may be used and how they fail, `connection` keeps a connection with one, `library` is all
that touches the official `mcp` package, and `tools` is what the chat model sees of a server.
"""
