"""How long each stage of each turn took, read from the times of the events. Pure.

Times are seconds from the first event of the conversation. Nothing is measured where it happens: the events of
any engine, and those of a log that is read again, give the same times.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from vivavoce.protocol import events as e
from vivavoce.protocol.items import FunctionCall, FunctionCallOutput, Item, McpCall, Message
from vivavoce.protocol.session import Pcm, ServerVad, input_settings
from vivavoce.session.formats import bytes_per_ms
from vivavoce.session.middleware import ObservedEvent

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class ToolTiming:
    """One call of a tool: from all its arguments to its output."""

    call_id: str
    name: str
    began: float
    ended: float | None = None


@dataclass
class TurnTiming:
    """The times of one turn: what the user said, and the responses to it, with their tools.

    `id` is that of the user's item; of a turn without one, that of the response. `speech_started` and
    `speech_stopped` are when that sound arrived, and `closed` when the turn was found to be over, or the
    response was asked for. What did not happen is None.
    """

    id: str
    kind: Literal["spoken", "text", "response", "out_of_band"]
    speech_started: float | None = None
    speech_stopped: float | None = None
    closed: float | None = None
    transcript: float | None = None
    response_created: float | None = None
    first_token: float | None = None
    first_text: float | None = None
    first_audio: float | None = None
    last_audio: float | None = None
    response_done: float | None = None
    interrupted: float | None = None
    tools: list[ToolTiming] = field(default_factory=list)

    @property
    def began(self) -> float:
        """The first time of the turn."""
        times = (self.speech_started, self.closed, self.response_created)
        return next(time for time in times if time is not None)

    @property
    def is_answered(self) -> bool:
        """Whether its response is over, and no other is due, to the outputs of tools."""
        if self.response_created is None or self.response_done is None:
            return False
        return not any(tool.ended is None or tool.ended >= self.response_done for tool in self.tools)

    @property
    def stages(self) -> "list[Stage]":
        """The stages that it came to, in order."""
        return list(self._stages())

    def _stages(self) -> "Iterator[Stage]":
        yield from _stage("speech", self.speech_started, self.speech_stopped)
        yield from _stage("endpointing", self.speech_stopped, self.closed)
        yield from _stage("transcript", self.closed, self.transcript)
        yield from _stage("first_token", self.closed, self.first_token)
        yield from _stage("first_text", self.closed, self.first_text)
        yield from _stage("first_audio", self.closed, self.first_audio)
        for tool in self.tools:
            yield from _stage("tool", tool.began, tool.ended, tool.name)
        yield from _stage("speaking", self.first_audio, self.last_audio)
        yield from _stage("response", self.response_created, self.response_done)
        yield from _stage("interrupted", self.interrupted, self.interrupted)


@dataclass(frozen=True)
class Stage:
    """A stage of a turn, from `began` to `ended`; `detail` is the name of a tool."""

    name: str
    began: float
    ended: float
    detail: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class WaterfallRow:
    """One line of the picture: a stage, with the turn that it belongs to."""

    turn_id: str
    kind: str
    stage: Stage


def _stage(name: str, began: float | None, ended: float | None, detail: str = "") -> Iterator[Stage]:
    """Yield a stage if it began and ended. What was ready before its turn was over took no time."""
    if began is not None and ended is not None:
        yield Stage(name, began, max(began, ended), detail)


class ConversationTimings:
    """Folds the events of one conversation into its turns, in order. Pass every event to `on_event`."""

    def __init__(self) -> None:
        self.turns: list[TurnTiming] = []
        self._start: float | None = None
        self._turns: dict[str, TurnTiming] = {}
        """by the id of the user's item, of a response, and of an assistant's item"""
        self._calls: dict[str, ToolTiming] = {}
        """by the id of a call, or of the item of an MCP call; those that are not over"""
        self._text: tuple[str, float] | None = None
        """the last written message that is not answered"""
        self._requests: list[tuple[bool, float]] = []
        """of responses: whether out of band, and when"""
        self._bytes_per_ms = bytes_per_ms(Pcm())
        self._received_ms, self._padding_ms = 0.0, 300  # the protocol's default
        self._speech_at = 0.0

    def on_event(self, observed: ObservedEvent) -> None:
        """Apply one event; those of clients and of the server, in the order in which they were observed."""
        self._start = observed.at if self._start is None else self._start
        at, event = observed.at - self._start, observed.event
        match event:
            case e.InputAudioBufferAppend(audio=audio):
                self._received_ms += len(audio) / self._bytes_per_ms
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                if audio_format := input_settings(session).format:
                    self._bytes_per_ms = bytes_per_ms(audio_format)
                if (
                    isinstance(vad := input_settings(session).turn_detection, ServerVad)
                    and vad.prefix_padding_ms
                ):
                    self._padding_ms = vad.prefix_padding_ms
            case e.InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=ms):
                self._speech_at = at
                self._turn(item_id, "spoken").speech_started = self._spoken_at(at, ms + self._padding_ms)
            case e.InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=ms):
                self._turn(item_id, "spoken").speech_stopped = self._spoken_at(at, ms)
            case e.InputAudioBufferCommitted(item_id=item_id):
                self._turn(item_id, "spoken").closed = at
                self._text = None
            case e.TranscriptionCompleted(item_id=item_id) if item_id in self._turns:
                self._turns[item_id].transcript = at
            case e.ConversationItemAdded(item=item) | e.ConversationItemCreate(item=item):
                self._on_item(item, at, is_added=isinstance(event, e.ConversationItemAdded))
            case e.ResponseCreate():
                self._requests.append((event.is_out_of_band, at))
            case e.ResponseCreated(response=response):
                turn = self._answered(response.id, is_out_of_band=response.conversation_id is None, at=at)
                self._turns[response.id] = turn
                turn.response_created = turn.response_created if turn.response_created is not None else at
                turn.response_done = None
            case e.ResponseDone(response=response) if response.id in self._turns:
                turn = self._turns[response.id]
                turn.response_done = at
                if response.status == "cancelled":
                    self._interrupt(turn, at)
            case e.OutputAudioBufferStopped(response_id=response_id) if response_id in self._turns:
                self._turns[response_id].last_audio = at
            case e.OutputAudioBufferCleared(response_id=response_id) if response_id in self._turns:
                self._interrupt(self._turns[response_id], at)
            case e.ConversationItemTruncated(item_id=item_id) if item_id in self._turns:
                self._interrupt(self._turns[item_id], at)
            case e.ResponseMcpCallInProgress(item_id=item_id) if item_id in self._calls:
                self._calls[item_id].began = at
            case e.ResponseMcpCallCompleted(item_id=item_id) | e.ResponseMcpCallFailed(item_id=item_id):
                self._end_call(item_id, at)
            case e.OutputEvent(response_id=response_id) if response_id in self._turns:
                self._on_output(event, self._turns[response_id], at)
            case e.ResponseOutputItemDone(
                response_id=response_id, item=FunctionCall(call_id=str(call_id)) as call
            ):
                self._begin_call(call_id, call.name, response_id, at)
            case e.ResponseOutputItemAdded(response_id=response_id, item=McpCall(id=str(item_id)) as call):
                self._begin_call(item_id, call.name, response_id, at)

    def _on_output(self, event: e.OutputEvent, turn: TurnTiming, at: float) -> None:
        self._turns.setdefault(event.item_id, turn)
        match event:
            case e.ResponseOutputAudioDelta():
                turn.first_audio = at if turn.first_audio is None else turn.first_audio
                turn.last_audio = at
            case e.ResponseOutputTextDelta() | e.ResponseOutputAudioTranscriptDelta():
                turn.first_text = at if turn.first_text is None else turn.first_text
            case e.ResponseFunctionCallArgumentsDelta() | e.ResponseFunctionCallArgumentsDone():
                pass
            case e.ResponseMcpCallArgumentsDelta() | e.ResponseMcpCallArgumentsDone():
                pass
            case _:
                return
        turn.first_token = at if turn.first_token is None else turn.first_token

    def _begin_call(self, key: str, name: str, response_id: str, at: float) -> None:
        if turn := self._turns.get(response_id):
            self._calls[key] = ToolTiming(key, name, at)
            turn.tools.append(self._calls[key])

    def _end_call(self, key: str, at: float) -> None:
        if call := self._calls.pop(key, None):
            call.ended = at

    def _on_item(self, item: Item, at: float, *, is_added: bool) -> None:
        if isinstance(item, FunctionCallOutput):
            self._end_call(item.call_id, at)
        elif isinstance(item, Message) and item.role == "user" and is_added and item.id not in self._turns:
            self._text = item.id or "", at

    def _turn(self, item_id: str, kind: Literal["spoken", "text", "response", "out_of_band"]) -> TurnTiming:
        if item_id not in self._turns:
            self._turns[item_id] = TurnTiming(item_id, kind)
            self.turns.append(self._turns[item_id])
        return self._turns[item_id]

    def _answered(self, response_id: str, *, is_out_of_band: bool, at: float) -> TurnTiming:
        """Return the turn that a new response belongs to."""
        request = next((one for one in self._requests if one[0] == is_out_of_band), None)
        if request:
            self._requests.remove(request)
        turn = None if is_out_of_band else self._open_turn()
        if turn is None:
            turn = self._turn(response_id, "out_of_band" if is_out_of_band else "response")
            turn.closed = request[1] if request else at
        return turn

    def _open_turn(self) -> TurnTiming | None:
        """Return the last turn of the user that is not answered, or whose tools are not."""
        if self._text:
            (item_id, at), self._text = self._text, None
            turn = self._turn(item_id, "text")
            turn.closed = at
            return turn
        closed = (one for one in reversed(self.turns) if one.closed is not None and one.kind != "out_of_band")
        last = next(closed, None)
        return None if last and last.is_answered else last

    def _interrupt(self, turn: TurnTiming, at: float) -> None:
        """Note when a turn was interrupted: when the user began to speak, if that was it."""
        if turn.interrupted is None:
            spoke = turn.response_created is not None and turn.response_created <= self._speech_at <= at
            turn.interrupted = self._speech_at if spoke else at

    def _spoken_at(self, at: float, ms: int) -> float:
        """Return when a place of the user's audio, in milliseconds, was received."""
        return at - max(0.0, self._received_ms - ms) / 1000


def fold_timings(observed: Iterable[ObservedEvent]) -> list[TurnTiming]:
    """Return the turns of a conversation from all its events."""
    timings = ConversationTimings()
    for one in observed:
        timings.on_event(one)
    return timings.turns


def waterfall(turns: Iterable[TurnTiming]) -> list[WaterfallRow]:
    """Return the stages of all turns, as rows of a picture, by turn."""
    ordered = sorted(turns, key=lambda turn: turn.began)
    return [WaterfallRow(turn.id, turn.kind, stage) for turn in ordered for stage in turn.stages]


def draw_waterfall(rows: Iterable[WaterfallRow]) -> "Table":
    """Return a picture of a waterfall for a terminal: a bar for each stage, each turn on a scale of its own."""
    from rich.bar import Bar
    from rich.table import Table

    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("turn", no_wrap=True, min_width=13)
    table.add_column("stage", no_wrap=True, min_width=13)
    table.add_column("at", justify="right", no_wrap=True, min_width=7)
    table.add_column("seconds", justify="right", no_wrap=True, min_width=7)
    table.add_column("", ratio=1)
    for number, (_, group) in enumerate(groupby(rows, lambda row: row.turn_id), 1):
        of_turn = list(group)
        start = min(row.stage.began for row in of_turn)
        size = max(1e-3, max(row.stage.ended for row in of_turn) - start)
        for row in of_turn:
            stage = row.stage
            begin = min(stage.began - start, size * 0.98)
            bar = Bar(size, begin, max(begin + size * 0.02, stage.ended - start))  # a moment is seen as well
            turn = f"{number} {row.kind}" if row is of_turn[0] else ""
            name = f"{stage.name} {stage.detail}".rstrip()
            table.add_row(turn, name, f"{stage.began:.2f}", f"{stage.seconds:.3f}", bar)
    return table
