"""The rows of one conversation, made of its events as they pass."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

import anyio
import msgspec
from msgspec import UNSET

from vivavoce.audio.rates import OUTPUT_RATE
from vivavoce.dates import iso_now, utc_now
from vivavoce.protocol import events as e
from vivavoce.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    Item,
    McpCall,
    Message,
    part_text,
)
from vivavoce.protocol.responses import Response, Usage
from vivavoce.protocol.session import AnySession, Session, input_settings
from vivavoce.session.call import Caller
from vivavoce.session.conversation import Conversation
from vivavoce.session.loggable import loggable, loggable_json
from vivavoce.session.middleware import ObservedEvent
from vivavoce.store.prices import AnyUsage, SpeechUsage, cost
from vivavoce.store.recordings import Recorded, RecordingWriter
from vivavoce.store.timings import ConversationTimings, Stage

log = logging.getLogger(__name__)

Row = dict[str, object]

Redact = Callable[[str], str]
"""Returns a text as it may be written down. Called in passing for every text, so it must be fast."""

_WORDS = {"text", "transcript", "arguments", "output", "instructions", "delta"}
"""fields of events with what people and models say, which are redacted"""
TURNS = 3
"""turns whose stages may still change: the transcript of one may come after the answer to the next"""
UNREADABLE = "[not stored: the redaction failed]"


class PricedModel(NamedTuple):
    """What answers in one role: its provider and model, as the table of prices names them."""

    provider: str
    name: str


class ItemRow(msgspec.Struct, kw_only=True):
    """A row of `items`. `began` and `ended` are seconds since the conversation began."""

    conversation_id: str
    id: str
    position: float
    type: str
    created: str
    role: str | None = None
    text: str | None = None
    heard: str | None = None
    language: str | None = None
    status: str | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None
    output: str | None = None
    purpose: str | None = None
    began: float | None = None
    ended: float | None = None


class Put(Protocol):
    """Writes a row of a table; `new` is the conversation's first. Returns whether there was room for it."""

    def __call__(self, table: str, row: Row, new: bool = False) -> bool: ...


class ConversationRows:
    """The listener of one conversation, which passes rows to `put`. A bug here ends only the recording."""

    def __init__(
        self,
        caller: Caller,
        put: Put,
        *,
        journal_id: str,
        engine: str,
        models: Mapping[str, PricedModel],
        events: bool,
        redact: Redact | None,
        recording: RecordingWriter | None = None,
        on_ended: "Callable[[ConversationRows], None]" = lambda rows: None,
    ) -> None:
        self.id, self.recording = caller.id, recording
        """its sound, to be closed when the conversation is over"""
        self._put, self._events, self._redact, self._on_ended = put, events, redact, on_ended
        self._row: Row = {
            "id": caller.id,
            "session_id": None,
            "transport": caller.transport,
            "caller": caller.address or None,
            "identity": caller.identity,
            "engine": engine,
            "models": {role: model.name for role, model in models.items()},
            "instructions": None,
            "started": None,
            "ended": None,
            "ended_by": None,
            "journal_id": journal_id,
            "continues": None,
        }
        self._models, self._in_real_time = models, caller.in_real_time
        self._language: str | None = None
        self._conversation = Conversation()
        self._items: dict[str, ItemRow] = {}
        self._earlier: dict[str, float] = {}
        """by item of the conversation that this one continues: its position, which goes on here"""
        self._truncated = set[str]()
        self._summaries: dict[float, Row] = {}
        """by the position of the last item that each is about"""
        self._timings = ConversationTimings()
        self._stages: dict[str, list[Stage]] = {}
        """by turn: what is written"""
        self._spans: dict[str, tuple[float, float | None]] = {}
        """by user item that is not there yet: when its speech began and ended"""
        self._started: datetime | None = None
        self._began, self._at = 0.0, 0.0
        self._is_known, self._has_failed = False, False
        self._number = 0
        self._lost: dict[str, tuple[float, int]] = {}
        """by kind: when rows began to find no room, and how many did"""

    @property
    def is_known(self) -> bool:
        """Whether the conversation has a row, to which others may belong."""
        return self._is_known

    def __call__(self, observed: ObservedEvent) -> None:
        if self._has_failed:
            return
        try:
            is_sound = isinstance(observed.event, e.InputAudioBufferAppend)  # nine of ten events are
            if not is_sound and self._is_earlier(observed.event):
                self._conversation.apply(observed.event)
                return
            if self.recording:
                self.recording.on_event(observed)
            self._timings.on_event(observed)
            if not is_sound:
                self._record(observed)
        except Exception:  # a bug here must not end the conversation, which it would
            log.exception("conversation %s is not recorded any further", self._row["id"])
            self._has_failed = True

    def continue_from(self, conversation_id: str, positions: Mapping[str, float]) -> None:
        """Note which conversation this one continues; its items, which come next, are there already."""
        self._earlier = dict(positions)
        self._row["continues"] = conversation_id
        if self._is_known:
            self._write("conversations", self._row)

    def _is_earlier(self, event: e.Event) -> bool:
        """Return whether an event only repeats an item of the conversation that this one continues."""
        match event:
            case (
                e.ConversationItemCreate(item=item)
                | e.ConversationItemAdded(item=item)
                | e.ConversationItemDone(item=item)
                | e.ConversationItemRetrieved(item=item)
            ):
                return item.id in self._earlier
            case _:
                return False

    def on_end(self, by: str) -> None:
        """Write down that the conversation is over, and who ended it."""
        try:
            if self._is_known:
                self._write_end(by)
        except Exception:  # as above
            log.exception("the end of conversation %s is not recorded", self._row["id"])
        self._on_ended(self)

    def _write_end(self, by: str) -> None:
        self._at = anyio.current_time() - self._began
        if self._in_real_time:
            self._cut_off()
        self._row |= {"ended": self._time(), "ended_by": by}
        self._write_stages()
        self._write("conversations", self._row)
        for kind in tuple(self._lost):
            self._write_gap(kind)

    def _cut_off(self) -> None:
        """Truncate the answer that is being played when the conversation ends: nobody hears the rest of it."""
        until = 0.0
        for row in self._items.values():
            spoken_ms = self._conversation.spoken_ms(row.id)
            if row.began is None or spoken_ms is None:
                continue
            start, until = max(row.began, until), max(row.began, until) + spoken_ms / 1000
            if self._at < until and row.id not in self._truncated:
                text = row.text or self._redacted(self._conversation.heard_text(row.id))
                heard_ms = max(0, int((self._at - start) * 1000))
                truncated = e.ConversationItemTruncated(item_id=row.id, content_index=0, audio_end_ms=heard_ms)
                self._conversation.apply(truncated)
                self._truncated.add(row.id)
                self._change(row.id, text=text, ended=start + heard_ms / 1000)

    def on_recorded(self, recorded: Recorded) -> None:
        """Write down what was recorded, and which sound is missing."""
        spoken = [msgspec.to_builtins(one) for one in recorded.spoken]
        self._write_recording(recorded.samples / OUTPUT_RATE, spoken, recorded.problem or None)
        for gap in recorded.gaps:
            times = {"began": gap.start / OUTPUT_RATE, "ended": gap.end / OUTPUT_RATE}
            row = {"kind": f"{gap.channel}_audio", **times, "lost": gap.end - gap.start}
            self._write("gaps", {"conversation_id": self._row["id"], **row})

    def _record(self, observed: ObservedEvent) -> None:
        event = observed.event
        if self._started is None:
            self._row["started"] = now = iso_now()
            self._started, self._began = datetime.fromisoformat(now), observed.at
        self._at = observed.at - self._began
        self._conversation.apply(event)
        is_first = True
        match event:
            case e.SessionCreated(session=session) | e.SessionUpdated(session=session):
                self._on_session(session)
            case e.InputAudioBufferSpeechStarted(item_id=item_id):
                self._spans[item_id] = self._at, None
            case e.InputAudioBufferSpeechStopped(item_id=item_id) if item_id in self._spans:
                self._spans[item_id] = self._spans[item_id][0], self._at
            case e.ConversationItemAdded(item=item) | e.ConversationItemDone(item=item):
                self._on_item(item)
            case e.TranscriptionCompleted(item_id=item_id, transcript=words):
                language = event.languages[0].code if event.languages else self._language
                self._change(item_id, text=self._redacted(words), language=language)
                self._on_transcribed(event)
            case e.TranscriptionFailed(item_id=item_id):
                self._change(item_id, status="failed")
            case e.ResponseOutputAudioTranscriptDone(item_id=item_id, transcript=words):
                self._change(item_id, text=self._redacted(words))
            case e.ConversationItemTruncated(item_id=item_id, audio_end_ms=ms) if item_id in self._items:
                self._truncated.add(item_id)
                self._forget_summaries(item_id)
                began = self._items[item_id].began or 0
                self._change(item_id, ended=began + ms / 1000)
            case e.ConversationItemDeleted(item_id=item_id):
                self._forget_summaries(item_id)
                self._forget_earlier(item_id)
                self._change(item_id, status="deleted")
            case e.ResponseOutputAudioDelta(item_id=item_id):
                row = self._items.get(item_id)
                is_first = row is not None and row.began is None
                if row and is_first:
                    row.began = self._at
            case e.ResponseDone(response=response):
                self._on_response(response)
                self._write_stages()
            case e.ConversationSummarized():
                self._on_summary(event)
                return
        if self._events and is_first:
            self._on_event(observed)

    def _on_session(self, session: AnySession) -> None:
        self._row["session_id"] = session.id or None
        if isinstance(session, Session):
            self._row["instructions"] = self._redacted(session.instructions or None)
        transcription = input_settings(session).transcription
        self._language = (transcription.language or None) if transcription else None
        is_new = not self._is_known
        self._write("conversations", self._row)
        if is_new:
            self._write_recording(None, None, None)

    def _on_item(self, item: Item) -> None:
        item_id = item.id
        if not item_id:
            return
        row = self._items.get(item_id)
        if row is None or row.status == "deleted":  # its id may be used again
            began, ended = self._spans.pop(item_id, (None, None))
            row = self._items[item_id] = ItemRow(
                conversation_id=str(self._row["id"]),
                id=item_id,
                position=self._position(item_id),
                type=str(item.__struct_config__.tag),
                created=self._time(),
                began=began,
                ended=ended,
            )
        match item:
            case Message(role=role):
                row.role, row.purpose = role, self._conversation.purpose(item)
                words = self._redacted(spoken_words(item) or None)
                if words and not (row.text and item_id in self._truncated):
                    row.text = words
                if row.began is not None and role == "assistant" and item_id not in self._truncated:
                    row.ended = row.began + (self._conversation.spoken_ms(item_id) or 0) / 1000
            case FunctionCall(name=name, arguments=arguments, call_id=call_id):
                row.name, row.arguments, row.call_id = name, self._redacted(arguments), call_id or None
            case McpCall(name=name, arguments=arguments, output=output):
                row.name, row.arguments = name, self._redacted(arguments)
                row.output = self._redacted(output or None)
            case FunctionCallOutput(call_id=call_id, output=output):
                row.call_id, row.output = call_id, self._redacted(output)
            case _:
                pass
        self._change(item_id, status=getattr(item, "status", UNSET) or row.status)

    def _on_summary(self, event: e.ConversationSummarized) -> None:
        position = self._position_of(event.item_id)
        if position is not None:
            text = self._redacted(event.text)
            row: Row = {"conversation_id": self.id, "position": position, "text": text, "created": self._time()}
            self._summaries[position] = row
            self._write("summaries", row)
        self._write_usage(event.event_id, "summary", self._models.get("chat"), event.usage)

    def _forget_summaries(self, item_id: str) -> None:
        """Take back what was summed up of an item that is deleted, or was heard in part only."""
        position = self._position_of(item_id)
        for at, row in self._summaries.items():
            if position is not None and position <= at and row["text"]:
                row["text"] = None
                self._write("summaries", row)

    def _position_of(self, item_id: str) -> float | None:
        return self._items[item_id].position if item_id in self._items else self._earlier.get(item_id)

    def _forget_earlier(self, item_id: str) -> None:
        """Have a row, without words, say that an item of the earlier conversation is deleted in this one."""
        position = self._earlier.pop(item_id, None)
        if position is not None:
            row = ItemRow(
                conversation_id=str(self._row["id"]),
                id=item_id,
                position=position,
                type="message",
                created=self._time(),
            )
            self._items[item_id] = row

    def _position(self, item_id: str) -> float:
        """Return a number that sorts a new item behind the one before it."""
        before = self._conversation.before(item_id) if item_id in self._conversation else None
        positions = {**self._earlier, **{row.id: row.position for row in self._items.values()}}
        last = positions.get(before or "")
        after = min((one for one in positions.values() if last is None or one > last), default=None)
        if last is None:
            return 1 if after is None else after - 1
        return last + 1 if after is None else (last + after) / 2

    def _change(self, item_id: str, **changes: object) -> None:
        row = self._items.get(item_id)
        if row is None:
            return
        for name, value in changes.items():
            setattr(row, name, value)
        heard = (
            self._redacted(self._conversation.heard_text(item_id)) if item_id in self._truncated else row.text
        )
        row.heard = heard
        self._write("items", msgspec.structs.asdict(row))

    def _on_transcribed(self, event: e.TranscriptionCompleted) -> None:
        seconds = event.usage.seconds if isinstance(event.usage, e.DurationUsage) else None
        self._write_usage(
            event.item_id, "transcription", self._models.get("transcriber"), event.usage, seconds=seconds
        )

    def _on_response(self, response: Response) -> None:
        model = self._models.get("realtime") or self._models.get("chat")
        self._write_usage(response.id, "response", model, response.usage, status=response.status)
        spoken = [item for item in response.output if isinstance(item, Message) and item.id]
        seconds = sum(self._conversation.spoken_ms(str(item.id)) or 0 for item in spoken) / 1000
        if seconds and "realtime" not in self._models:
            usage = SpeechUsage(sum(len(spoken_words(item)) for item in spoken), seconds)
            self._write_usage(response.id, "speech", self._models.get("synthesizer"), usage, seconds=seconds)

    def _write_usage(
        self,
        source_id: str,
        kind: Literal["response", "transcription", "speech", "summary"],
        model: PricedModel | None,
        usage: AnyUsage | None,
        *,
        status: str | None = None,
        seconds: float | None = None,
    ) -> None:
        created = self._time()
        price = cost(usage, *model, datetime.fromisoformat(created).date()) if usage and model else None
        tokens = usage if isinstance(usage, Usage | e.TokensUsage) else None
        row: Row = {
            "conversation_id": self._row["id"],
            "source_id": source_id,
            "kind": kind,
            "provider": model and model.provider,
            "model": model and model.name,
            "status": status,
            "input_tokens": tokens and tokens.input_tokens,
            "cached_tokens": usage.input_token_details.cached_tokens if isinstance(usage, Usage) else None,
            "output_tokens": tokens and tokens.output_tokens,
            "tokens": msgspec.to_builtins(tokens),
            "seconds": seconds,
            "cost": price and float(price.amount),
            "currency": price and price.currency,
            "created": created,
        }
        self._write("usage", row)

    def _write_stages(self) -> None:
        """Write the stages of the last turns, as far as they have changed."""
        for turn in self._timings.turns[-TURNS:]:
            stages = turn.stages
            written = self._stages.get(turn.id, [])
            for number, stage in enumerate(stages):
                if written[number : number + 1] != [stage]:
                    row = {"turn_id": turn.id, "number": number, "kind": turn.kind}
                    row |= {
                        "stage": stage.name,
                        "detail": stage.detail,
                        "began": stage.began,
                        "ended": stage.ended,
                    }
                    self._write("timings", {"conversation_id": self._row["id"], **row})
            self._stages[turn.id] = stages

    def _write_recording(self, seconds: float | None, spoken: object, problem: str | None) -> None:
        if self.recording:
            row = {"url": self.recording.url, "seconds": seconds, "spoken": spoken, "problem": problem}
            self._write("recordings", {"conversation_id": self._row["id"], **row})

    def _on_event(self, observed: ObservedEvent) -> None:
        if self._redact:
            plain = loggable(observed.event)
            if "delta" in plain:  # a number or a name may be cut in two, and would not be found
                return
            body = msgspec.json.encode(self._redacted_words(plain)).decode()
        else:
            body = loggable_json(observed.event)
        self._number += 1
        row: Row = {
            "conversation_id": self._row["id"],
            "number": self._number,
            "at": round(self._at, 4),
            "source": observed.source,
            "type": str(observed.event.__struct_config__.tag),
            "body": body,
        }
        self._write("events", row)

    def _redacted_words(self, value: Mapping[str, object]) -> dict[str, object]:
        return {
            name: self._redacted(one) if name in _WORDS and isinstance(one, str) else self._redacted_within(one)
            for name, one in value.items()
        }

    def _redacted_within(self, value: object) -> object:
        if isinstance(value, dict):
            return self._redacted_words(value)
        return [self._redacted_within(one) for one in value] if isinstance(value, list) else value

    def _redacted(self, text: str | None) -> str | None:
        if self._redact is None or not text:
            return text
        try:
            return self._redact(text)
        except Exception:  # the owner's function: nothing is written that it has not seen
            log.exception("the function of [store] redact failed")
            return UNREADABLE

    def _write(self, table: str, row: Row) -> None:
        """Write a row, after the conversation's own. What finds no room is counted, and is a gap later."""
        if not self._is_known:
            self._is_known = self._put("conversations", self._row, new=True)
            if table == "conversations" and self._is_known:
                return
        kind = "events" if table == "events" else "words"
        if not self._is_known or not self._put(table, row):
            began, lost = self._lost.get(kind, (self._at, 0))
            self._lost[kind] = began, lost + 1
        elif kind in self._lost:
            self._write_gap(kind)

    def _write_gap(self, kind: str) -> None:
        began, lost = self._lost.pop(kind)
        gap = {"kind": kind, "began": began, "ended": self._at, "lost": lost}
        self._put("gaps", {"conversation_id": self._row["id"], **gap})

    def _time(self) -> str:
        """Return the time of the event in UTC: by the loop's clock since the start, as dates may jump back."""
        started = self._started or utc_now()
        return (started + timedelta(seconds=self._at)).isoformat(timespec="milliseconds")


def spoken_words(item: Message) -> str:
    """Return the text and transcripts of a message, with every blank that they have."""
    return " ".join(filter(None, map(part_text, item.content)))
