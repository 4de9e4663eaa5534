"""Engines: each holds conversations, by `async def converse(line)`."""
