"""A voice bot in ten lines, with a tool.

    viva serve examples/ten_lines.py

Open http://127.0.0.1:8765, and say: "Roll two dice for me."
"""

from secrets import randbelow

from vivavoce import Assistant, tool


@tool
def roll_dice(count: int = 1) -> list[int]:
    """Roll some dice: "roll two dice", "throw a die for me", "what do I get with three dice?"."""
    return [randbelow(6) + 1 for _ in range(count)]


assistant = Assistant(
    "You play dice with the caller. Answer in one short sentence.",
    tools=[roll_dice],
    greeting="Hello! How many dice shall I roll?",
)
