"""Hold a stored conversation again, as `viva replay --again` does: the caller of then, the server of today."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread
import msgspec
from rich.console import Console

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.cli.common import cancel_on_signal, models_of
from vivavoce.cli.comparison_report import as_json, print_comparison, print_summary
from vivavoce.cli.history import open_database
from vivavoce.cli.progress import Progress
from vivavoce.cli.replay import find_records, read_recording, recording_of
from vivavoce.client import ConnectionChanged, RealtimeClient
from vivavoce.client.microphone_feed import MicrophoneFeed, frames_of
from vivavoce.client.settings import session_with, updated
from vivavoce.config.schema import Config
from vivavoce.errors import ConfigError, ProtocolError, ProviderError
from vivavoce.limits import Limits
from vivavoce.protocol import events as e
from vivavoce.protocol.codec import decode_client
from vivavoce.protocol.items import InputText, Item, Message
from vivavoce.protocol.responses import Failed, Response
from vivavoce.protocol.session import FunctionTool, McpServerTool, Session, input_settings
from vivavoce.runtime import open_runtime
from vivavoce.session.call import Caller
from vivavoce.session.middleware import ObservedEvent
from vivavoce.store.comparison import (
    Comparison,
    RecordInMemory,
    Said,
    Step,
    StoredOutputs,
    compare,
    cost_of,
    plan,
    summarize,
)
from vivavoce.store.conversation_rows import PricedModel
from vivavoce.store.database import Database
from vivavoce.store.history import read_history
from vivavoce.store.queries import Record, list_events
from vivavoce.store.replay import Turn, turns_of
from vivavoce.store.timings import ConversationTimings
from vivavoce.tools.registry import ToolChange
from vivavoce.tools.types import Assistant, Context, Outcome, Tool, ToolError

if TYPE_CHECKING:
    from vivavoce.client.notifications import Emitted

ANSWER_SECONDS = 30.0
"""seconds without anything from the server after which the caller does not wait for an answer any more"""
GREETING_SECONDS = 5.0
"""the same for a greeting, which there may not be today"""
QUIET_SECONDS = 3.0
"""seconds after an answer in which nothing came, although a tool is not done: it may wait for a yes"""
TAIL_SECONDS = 10.0
"""seconds of the caller's sound after a turn that are sent, until the next one; then there is silence"""
CANCEL_SECONDS = 5.0
LOOK_SECONDS = 0.02
LIMITS = Limits(connect_attempts=1, reconnect_attempts=0)
"""no reconnection: it would be another conversation"""
HARMLESS = {"response_cancel_not_active", "item_truncate_invalid_item_id"}
"""errors of a caller who interrupts an answer that is just over"""
NOT_MADE_THEN = "This call was not made then, so its output is not known; nothing was done."


INTERRUPTED = 130
"""exit code after Ctrl-C, as of a shell"""


class Stored(NamedTuple):
    """A conversation, its event log, and what was said in those that it continues."""

    record: Record
    events: Sequence[Record]
    earlier: Sequence[Item]


async def find(config: Path | None, ids: Sequence[str], last: int | None, limits: Limits) -> list[Stored]:
    """Return these conversations, or the last ones. Raises `ConfigError` without any."""
    async with open_database(config) as database:
        records = await find_records(database, ids, last)
        earlier = [await _earlier(database, record, limits) for record in records]
        events = [await list_events(database, record["id"]) for record in records]
    return [Stored(*one) for one in zip(records, events, earlier, strict=True)]


async def _earlier(database: Database, record: Record, limits: Limits) -> Sequence[Item]:
    """Return what was said in the conversations that one continues; nothing if they were deleted."""
    if not record["continues"]:
        return []
    caller = Caller("replay", identity=record["identity"], continues=record["continues"])
    try:
        found = await read_history(database, caller, limits)
    except ProtocolError:
        return []
    return [item for item in found.items if isinstance(item, Message)]  # assistants accept no others


@dataclass(frozen=True)
class Options:
    """The options of `viva replay --again`."""

    config: Config
    assistant: Assistant | None
    url: str | None
    key: str | None
    live: bool
    as_json: bool
    quiet: bool


async def run_again(options: Options, find: Callable[[], Awaitable[Sequence[Stored]]]) -> int:
    """Hold conversations again, one after another, and print what became different.

    Returns the exit code: 1 if an answer is missing that there was then, or something failed. Raises
    `ConfigError`, and `ProviderError` if nothing can be reached.
    """
    console, comparisons, is_done = Console(highlight=False), list[Comparison](), False
    tell = Progress(quiet=options.quiet).on_status
    stored = [one for one in await find() if len(turns_of(one.record)) > 1]
    if not stored:
        raise ConfigError("Nobody has said anything there, so there is nothing to hold again.")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_on_signal, tasks.cancel_scope)
        async with today(options) as answering:
            for number, one in enumerate(stored, 1):
                tell(f"{one.record['id']} ({number} of {len(stored)}) takes about as long as then.")
                comparisons.append(await repeat_conversation(one, answering, live=options.live))
                if not options.as_json:
                    print_comparison(comparisons[-1], console)
        is_done = True
        tasks.cancel_scope.cancel()
    summary = summarize(comparisons)
    if options.as_json:
        print(as_json(comparisons, summary), end="")
    elif comparisons:
        print_summary(summary, console)
    if not is_done:
        return INTERRUPTED
    return int(bool(summary.missing_answers or summary.problems))


@dataclass
class Tools:
    """What tools do while a conversation is held again: return what they returned then."""

    outputs: StoredOutputs

    def in_place_of(self, tool: Tool) -> Tool:
        """Return a tool that is called like another one, and does nothing."""

        async def run(arguments: str, _: Context) -> Outcome:
            return Outcome(self.output(tool.name, arguments))

        return replace(tool, run=run, check=None)

    def output(self, name: str, arguments: str) -> str:
        """Return the output of the same call then. Raises `ToolError` if there was none."""
        output = self.outputs.output(name, arguments)
        if output is None:
            raise ToolError(NOT_MADE_THEN)
        return output


@dataclass(frozen=True)
class Today:
    """What answers today: how to reach it, its models where they are known, and its tools, unless they run."""

    client: Callable[[], RealtimeClient]
    models: Mapping[str, PricedModel]
    tools: Tools | None


@asynccontextmanager
async def today(options: Options) -> AsyncIterator[Today]:
    """Yield the server at `url`, or models that are loaded in this process. Nothing of it is stored here."""
    if (url := options.url) is not None:
        yield Today(lambda: RealtimeClient(url, key=options.key, store="nothing", limits=LIMITS), {}, None)
        return
    tools, progress = Tools(StoredOutputs(())), Progress(quiet=options.quiet)
    change: ToolChange = (lambda tool: tool) if options.live else tools.in_place_of
    async with AsyncExitStack() as stack:
        opening = open_runtime(
            options.config,
            assistant=_changed(options.assistant, change) if options.assistant else None,
            on_status=progress.on_status,
            on_progress=progress.on_progress,
            on_loading=progress.on_loading,
            change_tool=change,
        )
        with progress:
            runtime = await stack.enter_async_context(opening)
        progress.on_status(runtime.description)

        def client() -> RealtimeClient:
            return RealtimeClient(lambda: runtime.switchboard.connect(Caller("replay")), limits=LIMITS)

        yield Today(client, models_of(runtime), None if options.live else tools)


def _changed(assistant: Assistant, change: ToolChange) -> Assistant:
    """Return an assistant, and those to which it hands over, with other tools."""
    others = [one if isinstance(one, str) else _changed(one, change) for one in assistant.hand_over]
    return replace(assistant, tools=[change(tool) for tool in assistant.tools], hand_over=others)


async def repeat_conversation(stored: Stored, answering: Today, *, live: bool) -> Comparison:
    """Hold a conversation again, in real time, and compare. Raises `ConfigError` and `ProviderError`."""
    record, turns = stored.record, turns_of(stored.record)
    outputs = StoredOutputs(call for turn in turns for call in turn.calls)
    session, definitions, notes = recorded_session(stored)
    if answering.tools:
        answering.tools.outputs = outputs
    client = answering.client()
    if session is not None:
        await client.update_session(session)
    own = Tools(outputs)
    for definition in definitions:
        client.add_tool(definition, _handler(own, definition.name))
    if record["continues"] and not stored.earlier:
        notes.append(f"It continues {record['continues']}, which is not there any more.")
    caller = CallerAgain(client, answering.models)
    sound = _Sound(record, notes)
    async with client:
        _check_tools(client, definitions, live=live or answering.tools is not None)
        try:
            for item in stored.earlier:
                await client.send(e.ConversationItemCreate(item=item))
            await caller.run_plan(plan(turns), sound.of)
        except ProviderError as error:
            caller.problems.append(str(error))
    again = caller.record.end()
    return Comparison(
        conversation_id=record["id"],
        notes=notes,
        turns=compare(turns, turns_of(again), caller.said),
        cost_then=cost_of(record),
        cost_today=cost_of(again),
        unknown_calls=outputs.unknown,
        problems=caller.problems,
    )


def _handler(tools: Tools, name: str) -> Callable[..., object]:
    async def answer(**arguments: object) -> str:
        return tools.output(name, msgspec.json.encode(arguments).decode())

    return answer


def _check_tools(client: RealtimeClient, own: Sequence[FunctionTool], *, live: bool) -> None:
    """Raise `ConfigError` if a server has tools of its own, which it would really run."""
    offered = client.session.tools if isinstance(client.session, Session) else ()
    names = {tool.name for tool in offered or () if isinstance(tool, FunctionTool)} - {
        tool.name for tool in own
    }
    if names and not live:
        problem = f"That server runs its own tools ({', '.join(sorted(names))}), which would act again"
        raise ConfigError(f"{problem}; write --tools live to let them, or leave out --url.")


def recorded_session(stored: Stored) -> tuple[Session | None, Sequence[FunctionTool], list[str]]:
    """Return the settings that the client had sent, its tools, and notes on what of it cannot be sent again.

    The sound is sent in our format, and the model is today's.
    """
    settings: dict[str, Any] = {}
    for row in stored.events:
        if row["source"] == "client" and row["type"] == "session.update":
            with suppress(ProtocolError):  # an invalid one, which was refused then, too
                event = decode_client(row["body"])
                if isinstance(event, e.SessionUpdate) and isinstance(event.session, Session):
                    settings = updated(settings, event.session)
    tools = msgspec.convert(settings.pop("tools", ()), tuple[FunctionTool | McpServerTool, ...])
    functions = [tool for tool in tools if isinstance(tool, FunctionTool)]
    notes = ["MCP servers of the client are left out."] if len(functions) < len(tools) else []
    for unwanted in ("type", "model", "tracing", "include", "prompt"):
        settings.pop(unwanted, None)
    for side in settings.get("audio", {}).values():
        side.pop("format", None)
    if "instructions" in settings:  # the event log has only the beginning of long ones
        settings["instructions"] = stored.record["instructions"] or ""
    session = session_with(settings) if settings else None
    return session if isinstance(session, Session) else None, functions, notes


class _Sound:
    """What the caller said in a turn, from the recording; a note if it has to be sent as text."""

    def __init__(self, record: Record, notes: list[str]) -> None:
        self._notes = notes
        try:
            self._url: str | None = recording_of(record)
        except ConfigError:
            self._url = None
            notes.append("There is no recording: what the caller said is sent as text.")

    async def of(self, turn: Turn, until: float) -> bytes | None:
        """Return the sound of a turn, and what followed until `until`; None if the turn is to be written."""
        if not turn.is_spoken or self._url is None:
            return None
        end = max(turn.ended, min(until, turn.ended + TAIL_SECONDS))
        try:
            sound, _ = await anyio.to_thread.run_sync(read_recording, self._url, turn.began, end)
        except ConfigError as error:
            self._notes.append(f"{error} What the caller said is sent as text.")
            self._url = None
            return None
        if len(sound) < (turn.ended - turn.began) * OUTPUT_RATE:  # half of it
            self._notes.append(f"Turn {turn.number} is not in the recording: it is sent as text.")
            return None
        return sound


class CallerAgain:
    """Says the turns of a conversation again, and observes what happens.

    `said` is when, by the number of the turn, in seconds since the first event; `problems` are errors.
    """

    def __init__(self, client: RealtimeClient, models: Mapping[str, PricedModel]) -> None:
        self.record = RecordInMemory(models)
        self.said: dict[int, Said] = {}
        self.problems: list[str] = []
        self._client, self._feed = client, MicrophoneFeed(client.append_input_audio)
        self._timings = ConversationTimings()
        self._began = self._seen = self._ended = anyio.current_time()
        """by the loop's clock: the first event, the last one of the server, and the end of the last turn"""
        self._mark = 0
        """the first of `_timings.turns` that may belong to the last turn"""
        self._heard: dict[str, tuple[float, float]] = {}
        """by item: from when to when it is played"""
        self._lost: ProviderError | None = None
        client.on("*", self._on_event)
        client.on("input_audio_buffer.speech_started", self._truncate)

    async def run_plan(
        self,
        steps: Sequence[Step],
        sound_of: Callable[[Turn, float], Awaitable[bytes | None]],
    ) -> None:
        """Hold the conversation to its end. Raises `ProviderError` if the connection is lost."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed.run)
            for step, following in zip_longest(steps, steps[1:]):
                sound = await sound_of(step.turn, following.turn.began if following else inf)
                await self._wait(step)
                await self._send_turn(step.turn, sound)
            await self._until_heard(ANSWER_SECONDS)
            tasks.cancel_scope.cancel()

    # when it is the caller's turn

    async def _wait(self, step: Step) -> None:
        patience = ANSWER_SECONDS if self.said else GREETING_SECONDS
        match step.after:
            case "answer":
                await self._until_heard(patience)
                await anyio.sleep(step.seconds)
            case "interruption":
                await self._until(
                    lambda: self._now() >= self._first + step.seconds or self._is_heard(), patience
                )
            case "turn":
                await anyio.sleep_until(self._ended + step.seconds)
                if not self.said:  # a greeting that there was not then
                    await self._until(lambda: not self._is_busy and self._is_played, ANSWER_SECONDS)

    async def _until_heard(self, patience: float) -> None:
        await self._until(self._is_heard, patience)

    async def _until(self, is_true: Callable[[], bool], patience: float) -> None:
        """Wait until something is true, or nothing has happened for so many seconds."""
        while not is_true() and self._now() < patience + max(self._seen, self._played_until, self._ended):
            if self._lost:
                raise self._lost
            await anyio.sleep(LOOK_SECONDS)

    def _is_heard(self) -> bool:
        """Whether the answer to the last turn is over, and was played."""
        turns = self._timings.turns[self._mark :]
        if self._is_busy or not self._is_played:
            return False
        waits = self._first < inf and self._now() > max(self._seen, self._played_until) + QUIET_SECONDS
        return waits or (bool(turns) and turns[-1].is_answered)

    @property
    def _is_busy(self) -> bool:
        """Whether a response is in progress."""
        turns = self._timings.turns
        return any(turn.response_created is not None and turn.response_done is None for turn in turns)

    @property
    def _first(self) -> float:
        """When the first sound of the answer to the last turn came."""
        times = [one.first_audio for one in self._timings.turns[self._mark :] if one.first_audio is not None]
        return self._began + min(times, default=inf)

    @property
    def _played_until(self) -> float:
        return max((end for _, end in self._heard.values()), default=0.0)

    @property
    def _is_played(self) -> bool:
        return self._now() >= self._played_until

    def _now(self) -> float:
        return anyio.current_time()

    # what the caller says

    async def _send_turn(self, turn: Turn, sound: bytes | None) -> None:
        self._mark = len(self._timings.turns)
        self._feed.stop()
        if sound is not None:
            began = self._feed.play(frames_of(sound))
            self._ended = began + turn.ended - turn.began
            await anyio.sleep_until(self._ended)
            await self._ask(turn)
        elif turn.text:
            if self._is_busy:
                await self._client.cancel_response()
                await self._until(lambda: not self._is_busy, CANCEL_SECONDS)
            began = self._ended = self._now()
            await self._client.send_user_message_content(turn.text)
        else:
            return
        self.said[turn.number] = Said(began - self._began, self._ended - self._began, sound is None)
        for note in turn.notes:
            message = Message(role="system", content=(InputText(text=note),))
            await self._client.send(e.ConversationItemCreate(item=message))

    async def _ask(self, turn: Turn) -> None:
        """Ask for an answer, where turn detection does not: as the client did then."""
        detection = input_settings(self._client.session).turn_detection
        if not detection:
            await self._client.create_response()
        elif detection.create_response is False and turn.answer:
            closed = lambda: any(one.closed is not None for one in self._timings.turns[self._mark :])  # noqa: E731
            await self._until(closed, ANSWER_SECONDS)
            await self._client.create_response()

    # what happens

    def _on_event(self, emitted: "Emitted") -> None:
        if isinstance(emitted, ConnectionChanged):
            self._lost = emitted.error or self._lost
        if not isinstance(emitted, e.Event):
            return
        now, is_ours = self._now(), isinstance(emitted, e.ClientEvent)
        if not self._timings.turns and not self.said and isinstance(emitted, e.SessionCreated):
            self._began = self._ended = now
        observed = ObservedEvent(emitted, "client" if is_ours else "server", now)
        self.record.on_event(observed)
        self._timings.on_event(observed)
        self._seen = self._seen if is_ours else now
        match emitted:
            case e.ResponseOutputAudioDelta(item_id=item_id, delta=audio):
                start, end = self._heard.get(item_id, (max(now, self._played_until),) * 2)
                self._heard[item_id] = start, max(now, end) + len(audio) / 2 / OUTPUT_RATE
            case e.ResponseDone(response=Response(status_details=Failed(error=error))):
                self.problems.append(f"An answer failed: {error.message or error.type}")
            case e.ErrorEvent(error=problem) if problem.code not in HARMLESS:
                self.problems.append(problem.message)

    async def _truncate(self, _: e.InputAudioBufferSpeechStarted) -> None:
        """Stop to play, as a client does when the caller interrupts, and report what was heard."""
        detection = input_settings(self._client.session).turn_detection
        if detection and detection.interrupt_response is False:
            return
        now = self._now()
        for item_id, (start, end) in tuple(self._heard.items()):
            if end > now:
                self._heard[item_id] = start, now
                ms = max(0, round((now - start) * 1000))
                await self._client.send(
                    e.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=ms)
                )
