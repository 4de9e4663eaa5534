"""Measures whether the chat model calls the right tool with the right arguments, and how soon.

It is asked directly, one request after another, as an assistant with tools would ask it. Requests that come by
voice are said by the synthesizer, in a quiet room, and heard by the transcriber.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import anyio
from rich.console import Console
from rich.table import Table

from vivavoce.assistants.team import Team, system_prompt
from vivavoce.audio.rates import INPUT_RATE, OUTPUT_RATE
from vivavoce.audio.resample import resample
from vivavoce.providers.base import (
    ChatModel,
    ChatRequest,
    ChatUsage,
    Prefillable,
    Synthesizer,
    ToolCall,
    Transcriber,
)
from vivavoce.providers.qwen.tool_picker.arguments import ASKING
from vivavoce.text.normalization import speakable
from vivavoce.tools.types import Assistant
from vivavoce_bench.measures import Spread
from vivavoce_bench.requests import Asked, right

__all__ = ["Tried", "run", "show"]

NOTHING = "no tool"


@dataclass(frozen=True)
class Tried:
    """What came of a request, as it was `heard`: a call, or something `said`, and what that cost.

    `seconds` passed until the call, or the first word.
    """

    asked: Asked
    heard: str
    call: ToolCall | None
    said: str
    seconds: float
    usage: ChatUsage | None

    @property
    def right(self) -> bool:
        """Whether that is what should have come."""
        return right(self.asked, self.call, self.said)

    @property
    def false(self) -> bool:
        """Whether a tool was wanted where none is: called, or asked about."""
        return self.asked.tool is None and not self.right

    @property
    def answer(self) -> str:
        """What came, for people."""
        return f"{self.call.name} {self.call.arguments}" if self.call else self.said


async def run(
    assistant: Assistant,
    requests: Sequence[Asked],
    *,
    chat: ChatModel,
    synthesizer: Synthesizer,
    transcriber: Transcriber,
    tell: Callable[[str], None],
) -> Sequence[Tried]:
    """Put every request to the model. Raises `ProviderError`."""
    tools = tuple(tool.definition for tool in Team(assistant).tools_of(assistant))
    asking = ChatRequest(items=(), instructions=system_prompt(assistant), tools=tools)
    if isinstance(chat, Prefillable):
        await chat.prefill(asking)
    found = []
    for number, asked in enumerate(requests, start=1):
        tell(f"Request {number} of {len(requests)}: {asked.says}")
        heard = await _heard(asked.says, synthesizer, transcriber) if asked.spoken else asked.says
        found.append(await _try(chat, asking, asked, heard))
    return found


async def _heard(text: str, synthesizer: Synthesizer, transcriber: Transcriber) -> str:
    """Return what is heard of a text when it is said aloud."""
    chunks = [chunk async for chunk in synthesizer.speak(speakable(text)) if isinstance(chunk, bytes)]
    quiet = bytes(OUTPUT_RATE // 2)
    sound = resample(quiet + b"".join(chunks) + quiet, OUTPUT_RATE, INPUT_RATE)
    return (await transcriber.transcribe(sound, language="en")).text


async def _try(chat: ChatModel, asking: ChatRequest, asked: Asked, heard: str) -> Tried:
    request = ChatRequest(asked.items(heard), asking.instructions, asking.tools)
    began, seconds = anyio.current_time(), None
    call, said, usage = None, "", None
    reply = cast("AsyncGenerator[str | ToolCall | ChatUsage, None]", chat.reply(request))
    async with aclosing(reply) as pieces:
        async for piece in pieces:
            seconds = seconds or anyio.current_time() - began
            match piece:
                case str():
                    said += piece
                case ToolCall():
                    call = call or piece
                case ChatUsage():
                    usage = piece
    return Tried(asked, heard, call, said, seconds or 0.0, usage)


# telling


def show(tried: Sequence[Tried], console: Console) -> None:
    """Print how many were right, tool by tool, how long it took, and what went wrong."""
    kept = [one for one in tried if one.asked.held_out]
    tuned = [one for one in tried if not one.asked.held_out]
    table = Table("about", "right", "held out", "false calls", title="The right tool with the right arguments")
    for name in [*dict.fromkeys(one.asked.tool or NOTHING for one in tried), "all"]:
        rows = [[one for one in some if name in (one.asked.tool or NOTHING, "all")] for some in (tuned, kept)]
        false = [one.false for some in rows for one in some if one.asked.tool is None]
        table.add_row(name, *map(_share, rows), f"{sum(false)}/{len(false)}" if false else "-")
    console.print(table)
    for way, spoken in (("typed", False), ("by voice", True)):
        console.print(
            f"Of those {way}, {_share([one for one in tried if one.asked.spoken is spoken])} were right."
        )
    _show_times(tried, console)
    for one in tried:
        if not one.right:
            heard = f" (heard: {one.heard})" if one.heard != one.asked.says else ""
            console.print(f"Wrong: {one.asked.says}{heard} -> {one.answer}", highlight=False, markup=False)


def _show_times(tried: Sequence[Tried], console: Console) -> None:
    table = Table("", "times", "p50 ms", "p95 ms", "tokens read", "written", title="Until it was there")
    for name, some in (
        ("a call", [one for one in tried if one.call]),
        ("a question for what it lacks", [one for one in tried if one.said.startswith(ASKING)]),
        ("the first word", [one for one in tried if not one.call and not one.said.startswith(ASKING)]),
    ):
        spread = Spread([one.seconds * 1000 for one in some])
        read = Spread([one.usage.input_tokens - one.usage.cached_tokens for one in some if one.usage])
        written = Spread([one.usage.output_tokens for one in some if one.usage])
        figures = spread.at(50), spread.at(95), read.at(50), written.at(50)
        table.add_row(name, str(len(some)), *map(_whole, figures))
    console.print(table)


def _share(some: Sequence[Tried]) -> str:
    return f"{sum(one.right for one in some)}/{len(some)}" if some else "-"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
