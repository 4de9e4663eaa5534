"""Conversations that last: how long each of many questions waits, and one that is told again after a loss."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

import anyio
import anyio.abc

from vivavoce.client import RealtimeClient
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message, OutputText
from vivavoce.protocol.responses import Failed
from vivavoce_bench.caller import Dial

ANSWER_TOKENS = 40
ANSWER_SECONDS = 400.0
"""seconds that an answer may take: longer than any limit of a server, which is to report it itself"""
PAUSE_SECONDS = 0.5
"""seconds between an answer and the next question"""
BEFORE = 10
"""turns with whose median each turn is compared"""
TOLD_TURNS = 60
TOPICS = "rain tea cats trains bread snow music stars rivers chess honey clouds bikes paper salt wind".split()


@dataclass(frozen=True)
class LongTurn:
    """One question: the seconds to the first word, and the tokens that the model read in them.

    `failed` is the reason if the response did not complete. `to_done` are the seconds to its end.
    """

    seconds: float
    tokens: int
    answer: str = ""
    to_done: float = 0.0
    failed: str | None = None


@dataclass(frozen=True)
class LongReport:
    """The turns of one conversation, and the first turns of conversations that were told again, by name."""

    turns: Sequence[LongTurn]
    returns: dict[str, LongTurn]


def ratios(values: Sequence[float]) -> list[float]:
    """Return each value divided by the median of those before it, from the one after the first `BEFORE` on."""
    return [
        value / max(median(values[at - BEFORE : at]), 1e-9) for at, value in enumerate(values) if at >= BEFORE
    ]


async def run(dial: Dial, turns: int, on_status: Callable[[str], None]) -> LongReport:
    """Hold one conversation of this many turns; then tell the end of it again on new connections."""
    found: list[LongTurn] = []
    async with _calling(dial) as caller:
        for number in range(turns):
            on_status(f"Question {number + 1} of {turns}.")
            found.append(await caller.ask(_question(number)))
            await anyio.sleep(PAUSE_SECONDS)
    end = list(enumerate(found))[-TOLD_TURNS:]
    known = [(_question(number), turn.answer) for number, turn in end]
    on_status(f"A client that returns tells {len(known)} turns again.")
    returns = {"same history, asked at once": await _return(dial, known, 0)}
    # a server that knows nothing of them: other turns of the same length
    unknown = [(_question(number + 100 * turns), turn.answer) for number, turn in end]
    returns["new history, asked at once"] = at_once = await _return(dial, unknown, 0)
    later = [(_question(number + 200 * turns), turn.answer) for number, turn in end]
    on_status(f"Again, {at_once.seconds * 1.5:.0f} s before the question.")
    returns["new history, read before"] = await _return(dial, later, at_once.seconds * 1.5)
    return LongReport(found, returns)


def _question(number: int) -> str:
    one, other = TOPICS[number % len(TOPICS)], TOPICS[(number * 7 + 3) % len(TOPICS)]
    return f"Question {number:05}: tell me one short fact about {one} and {other}."


async def _return(dial: Dial, told: Sequence[tuple[str, str]], seconds: float) -> LongTurn:
    """Tell earlier turns on a new connection, wait so many seconds, and ask."""
    async with _calling(dial) as caller:
        for question, answer in told:
            await caller.create_item(Message(role="user", content=(InputText(text=question),)))
            if answer:
                await caller.create_item(Message(role="assistant", content=(OutputText(text=answer),)))
        await anyio.sleep(seconds)
        return await caller.ask(_question(len(told)))


class _Writer:
    """A client that writes, and measures the answers."""

    def __init__(self, client: RealtimeClient) -> None:
        self._client, self._events = client, list[tuple[float, e.Event]]()
        self._changed = anyio.Event()
        client.on("server.*", self._on_event)

    def _on_event(self, event: e.Event) -> None:
        self._events.append((anyio.current_time(), event))
        self._changed.set()
        self._changed = anyio.Event()

    async def create_item(self, item: Message) -> None:
        """Add an item to the conversation."""
        await self._client.send(e.ConversationItemCreate(item=item))

    async def ask(self, text: str) -> LongTurn:
        """Ask in writing, and wait for the whole answer. Raises `ProviderError` if there is none."""
        self._events.clear()
        await self.create_item(Message(role="user", content=(InputText(text=text),)))
        began = anyio.current_time()
        await self._client.create_response()
        with anyio.move_on_after(ANSWER_SECONDS):
            while not any(isinstance(event, e.ResponseDone | e.ErrorEvent) for _, event in self._events):
                await self._changed.wait()
        return self._turn(began)

    def _turn(self, began: float) -> LongTurn:
        first, words = None, ""
        for at, event in self._events:
            match event:
                case e.ResponseOutputTextDelta(delta=delta):
                    first, words = first or at - began, words + delta
                case e.ErrorEvent(error=error):
                    raise ProviderError("the server", error.message)
                case e.ResponseDone(response=response):
                    details, usage = response.status_details, response.usage
                    failed = details.error.message or "no reason" if isinstance(details, Failed) else None
                    read = usage.input_tokens - usage.input_token_details.cached_tokens if usage else 0
                    return LongTurn(first or at - began, read, words, at - began, failed)
        raise ProviderError("the server", f"no answer within {ANSWER_SECONDS:g} s")


@asynccontextmanager
async def _calling(dial: Dial) -> AsyncIterator[_Writer]:
    """Open a conversation in writing, with short answers."""
    async with dial() as client:
        caller = _Writer(client)
        await client.update_session(output_modalities=("text",), max_output_tokens=ANSWER_TOKENS)
        yield caller
