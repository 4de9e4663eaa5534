"""Servers of tools, by the Model Context Protocol.

`servers` says which there are and how they fail; they are reached over `http` or `stdio`, `visits` hold the
connections, and `tools` is what the chat model sees of them.
"""
