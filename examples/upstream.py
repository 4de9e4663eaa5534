"""OpenAI answers, with a tool of this program.

    export OPENAI_API_KEY=sk-…
    python examples/upstream.py "What do I have in the fridge?"

`UPSTREAM` is the address of another server that speaks the protocol, such as ws://127.0.0.1:8765: one of ours.
"""

import os
import sys

import anyio

from vivavoce import RealtimeClient, tool


@tool
def look_into_the_fridge() -> list[str]:
    """Tell what is in the caller's fridge."""
    return ["four eggs", "half a lemon", "a jar of olives"]


async def ask(question: str) -> None:
    client = RealtimeClient.openai(url=os.environ.get("UPSTREAM"))
    client.add_tool(look_into_the_fridge)
    await client.update_session(modalities="text")
    async with client:
        await client.send_user_message_content(question)
        answer = await client.wait_for_next_completed_item(role="assistant")
        print(answer.text)


if __name__ == "__main__":
    anyio.run(ask, sys.argv[1])
