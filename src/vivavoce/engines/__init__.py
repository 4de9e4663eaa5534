"""Engines, which answer conversations: `async def converse(line, session=None)`."""
