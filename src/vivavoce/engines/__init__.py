"""What answers: each engine is `async def converse(line)`."""
