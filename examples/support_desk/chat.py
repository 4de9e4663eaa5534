"""Talk with the support desk by typing.

    python -m support_desk.chat                        # the models of this machine, in this process
    python -m support_desk.chat ws://127.0.0.1:8765    # viva serve examples/support_desk/desk.py:assistant

An empty line, or the end of the input, hangs up.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from html.parser import HTMLParser

import anyio
import anyio.to_thread
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table

from vivavoce import RealtimeClient
from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall

__all__ = ["chat"]

console = Console()


async def chat(client: RealtimeClient) -> None:
    """Put to the desk whatever is typed, and print what it answers, and its cards."""
    client.on("response.output_text.delta", lambda event: print(event.delta, end="", flush=True))
    client.on("response.output_text.done", lambda event: print())
    client.on("vivavoce.card", lambda event: console.print(Card(event.html).panel(event.title)))
    await client.update_session(modalities="text")
    async with client:
        async for words in typed():
            await client.send_user_message_content(words)
            await answered(client)


async def answered(client: RealtimeClient) -> None:
    """Return when the desk has said something; what its tools are to do comes before."""
    while True:
        done: e.ResponseDone = await client.wait_for_next("response.done")
        if done.response.status == "failed":
            console.print("[red]The desk could not answer.[/red]")
        if not any(isinstance(item, FunctionCall) for item in done.response.output or ()):
            return


async def typed() -> AsyncIterator[str]:
    """Yield the lines that somebody types."""
    while line := (await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)).strip():
        yield line


class Card(HTMLParser):
    """A card for the terminal: its paragraphs, and its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str | Table] = []
        self._row: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        """A table, a row or a cell begins, or some words."""
        match tag:
            case "table":
                self.parts.append(Table(show_header=False, box=None))
            case "tr":
                self._row = []
            case "td" | "th" if self._row is not None:
                self._row.append("")
            case "p" | "li" | "h1" | "h2" | "h3":
                self.parts.append("")

    def handle_endtag(self, tag: str) -> None:
        """A row is complete."""
        if tag == "tr" and self._row is not None and isinstance(table := self.parts[-1], Table):
            table.add_row(*(cell.strip() for cell in self._row))
            self._row = None

    def handle_data(self, data: str) -> None:
        """Put words where they belong."""
        if self._row:
            self._row[-1] += data
        elif self.parts and isinstance(last := self.parts[-1], str):
            self.parts[-1] = last + data

    def panel(self, title: str) -> Panel:
        """Return the card with a frame."""
        return Panel(Group(*self.parts), title=title, expand=False)


@asynccontextmanager
async def in_this_process() -> AsyncIterator[RealtimeClient]:
    """Load the models, and give a client of the desk."""
    from vivavoce.config.loading import load
    from vivavoce.runtime import open_runtime
    from vivavoce.session.call import Caller

    from .desk import assistant

    async with open_runtime(load().config, assistant=assistant, on_status=console.print) as runtime:
        yield RealtimeClient(partial(runtime.switchboard.connect, Caller("chat", extras=True)))


async def main(url: str | None) -> None:
    """Chat with a server, or with the desk in this process."""
    if url is not None:
        await chat(RealtimeClient(f"{url}/v1/realtime?extras=1"))
        return
    async with in_this_process() as client:
        await chat(client)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if sys.argv[1:] else None)
