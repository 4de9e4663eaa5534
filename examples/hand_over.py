"""One assistant hands the caller over to another, in the middle of a call.

    viva serve examples/hand_over.py

Open http://127.0.0.1:8765, and say: "Is my bicycle ready?" The workshop takes over: it has tools of its own,
and knows what was said before.
"""

from vivavoce import Assistant, tool

REPAIRS = {"12": "is ready; you can come for it today", "15": "waits for a new chain, until Thursday"}


@tool
def repair_status(ticket: str) -> str:
    """Tell how far a repair is: "is my bicycle ready?", "how far is repair fifteen?".

    Args:
        ticket: the number on the ticket
    """
    return f"The bicycle {REPAIRS.get(ticket, 'is not in the workshop: ask for the number again')}."


workshop = Assistant(
    "You are the workshop of a bicycle shop: you know about repairs. Answer in one short sentence.",
    name="workshop",
    tools=[repair_status],
    hand_over=["reception"],
    greeting="This is the workshop. What is the number on your ticket?",
)
assistant = Assistant(
    "You answer the telephone of a bicycle shop, which is open from nine to six. Answer in one short sentence. "
    "Who asks about a repair is handed over to the workshop.",
    name="reception",
    hand_over=[workshop],
    greeting="Hello, this is the bicycle shop.",
)
